import { Images } from "lucide-react";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useLocation, useParams, useSearchParams } from "wouter";
import type { Job } from "@/api/client";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { Page } from "@/ui/page";
import { Empty, ErrorState, Skeleton } from "@/ui/states";
import { BulkBar } from "@/views/library/bulk-bar";
import { ConfirmDelete } from "@/views/library/confirm-delete";
import { useDelete } from "@/views/library/deletion";
import { FilterBar } from "@/views/library/filter-bar";
import {
  type Filters,
  isNarrowed,
  NO_FILTERS,
  readFilters,
  writeFilters,
} from "@/views/library/filters";
import { Lightbox } from "@/views/library/lightbox";
import { ResultsGrid } from "@/views/library/results-grid";
import { useSelection } from "@/views/library/selection";
import { useGridKeys } from "@/views/library/use-grid-keys";
import { useResults } from "@/views/library/use-results";

export default function LibraryView() {
  const texts = useMessages().library;
  const { job: opened } = useParams<{ job?: string }>();
  const [filters, change] = useFilters();
  const results = useResults(filters);
  const { jobs } = results;
  const { open, close } = useOpening();
  const remove = useRemoval(jobs, opened === undefined);
  const onNearEnd = useReadOn(results);
  return (
    <Page title={texts.title} text={texts.text} isWide actions={<Count results={results} />}>
      <FilterBar filters={filters} onChange={change} />
      {results.error && <ErrorState error={results.error} onRetry={() => void results.refetch()} />}
      {results.isPending && !results.error && <Placeholders />}
      {results.isSuccess && jobs.length === 0 && (
        <Nothing isNarrowed={isNarrowed(filters)} onClear={() => change(NO_FILTERS)} />
      )}
      {jobs.length > 0 && <ResultsGrid jobs={jobs} onOpen={open} onNearEnd={onNearEnd} />}
      {remove.parts}
      {opened && (
        <Lightbox
          key="lightbox"
          id={opened}
          jobs={jobs}
          onGo={(id) => open(id, true)}
          onClose={close}
          onDelete={(id) => {
            close();
            remove.now([id]);
          }}
          onNearEnd={onNearEnd}
        />
      )}
    </Page>
  );
}

type Results = ReturnType<typeof useResults>;

function useFilters(): [Filters, (change: Partial<Filters>) => void] {
  const [params, setParams] = useSearchParams();
  const text = params.toString();
  const filters = useMemo(() => readFilters(new URLSearchParams(text)), [text]);
  const latest = useRef(setParams);
  latest.current = setParams;
  const change = useCallback((part: Partial<Filters>) => {
    latest.current((before) => writeFilters(before, { ...readFilters(before), ...part }), {
      replace: true,
    });
  }, []);
  return [filters, change];
}

/** The lightbox is an address of its own, beside the same filters. */
function useOpening() {
  const [, navigate] = useLocation();
  const open = useCallback(
    (id: string, replace = false) =>
      navigate(`/library/${id}${window.location.search}`, { replace }),
    [navigate],
  );
  const close = useCallback(() => {
    navigate(`/library${window.location.search}`, { replace: true });
    const { active } = useSelection.getState();
    requestAnimationFrame(() =>
      document.querySelector<HTMLElement>(`[data-card="${active}"]`)?.focus(),
    );
  }, [navigate]);
  return { open, close };
}

function useReadOn({ hasNextPage, isFetching, fetchNextPage }: Results): () => void {
  return useCallback(() => {
    if (hasNextPage && !isFetching) void fetchNextPage();
  }, [hasNextPage, isFetching, fetchNextPage]);
}

/** Selecting, and deleting what is selected or has the focus. */
function useRemoval(jobs: readonly Job[], isOn: boolean) {
  const ids = useSelection((state) => state.ids);
  const now = useDelete();
  const [isAsking, setIsAsking] = useState(false);
  const selected = useMemo(() => jobs.filter((job) => ids.has(job.id)), [jobs, ids]);
  useEffect(() => useSelection.getState().keep(new Set(jobs.map((job) => job.id))), [jobs]);
  useEffect(() => () => useSelection.getState().clear(), []);
  useGridKeys(jobs, isOn, (job) => {
    if (job) now([job.id]);
    else setIsAsking(true);
  });
  const parts = selected.length > 0 && (
    <>
      <BulkBar selected={selected} onDelete={() => setIsAsking(true)} />
      <ConfirmDelete
        count={selected.length}
        isOpen={isAsking}
        onClose={() => setIsAsking(false)}
        onConfirm={() => now(selected.map((job) => job.id))}
      />
    </>
  );
  return { now, parts };
}

function Count({ results }: { results: Results }) {
  const texts = useMessages().library;
  if (!results.isSuccess) return null;
  const count = results.jobs.length;
  return (
    <p role="status" className="numeric text-[13px] text-muted">
      {results.hasNextPage ? texts.moreResults(count) : texts.results(count)}
    </p>
  );
}

function Placeholders() {
  const { states } = useMessages();
  return (
    <div role="status" className="grid grid-cols-2 gap-4 sm:grid-cols-3 lg:grid-cols-4">
      <span className="sr-only">{states.loading}</span>
      {["a", "b", "c", "d", "e", "f", "g", "h"].map((name) => (
        <Skeleton key={name} className="h-72 rounded-xl!" />
      ))}
    </div>
  );
}

function Nothing({ isNarrowed: isFiltered, onClear }: { isNarrowed: boolean; onClear(): void }) {
  const texts = useMessages().library;
  const [, navigate] = useLocation();
  return isFiltered ? (
    <Empty
      icon={<Images size={28} />}
      title={texts.noMatch}
      text={texts.noMatchHint}
      action={<Button onClick={onClear}>{texts.clearFilters}</Button>}
    />
  ) : (
    <Empty
      icon={<Images size={28} />}
      title={texts.empty}
      text={texts.emptyHint}
      action={<Button onClick={() => navigate("/")}>{texts.create}</Button>}
    />
  );
}
