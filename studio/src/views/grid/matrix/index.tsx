import { Plus } from "lucide-react";
import { useCallback, useMemo, useState } from "react";
import { useLocation } from "wouter";
import type { Job } from "@/api/client";
import { useMessages } from "@/messages";
import { MOST_COMPARED } from "@/stores/comparison";
import { Button } from "@/ui/button";
import { Page } from "@/ui/page";
import { Empty, ErrorState, Loading } from "@/ui/states";
import { Segmented } from "@/ui/tabs";
import { parameterName, valueName } from "@/views/grid/builder/names";
import { axesOf, cellsOf, layoutOf, mergedAxes } from "@/views/grid/logic/cells";
import type { Point } from "@/views/grid/logic/plan";
import { scaleOf, workOf } from "@/views/grid/logic/scale";
import { Large } from "@/views/grid/matrix/large";
import { Matrix } from "@/views/grid/matrix/matrix";
import { Status } from "@/views/grid/matrix/status";
import { Toolbar } from "@/views/grid/matrix/toolbar";
import { useMatrixState } from "@/views/grid/matrix/use-matrix-state";
import { useBatch } from "@/views/grid/queries";
import { useGrids } from "@/views/grid/store";

/** One grid, filling in. */
export function MatrixView({ batchId }: { batchId: string }) {
  const texts = useMessages().grid;
  const [, navigate] = useLocation();
  const { jobs, isLoading, error, retry } = useBatch(batchId);
  const isOnePrompt = jobs.length > 0 && jobs.every((job) => job.prompt === jobs[0]?.prompt);
  return (
    <Page
      isWide
      title={texts.title}
      text={isOnePrompt && <span className="line-clamp-2">{jobs[0]?.prompt}</span>}
      actions={
        <Button icon={<Plus size={16} />} onClick={() => navigate("/grid")}>
          {texts.newGrid}
        </Button>
      }
    >
      {isLoading && <Loading />}
      {error && <ErrorState error={error} onRetry={retry} />}
      {!isLoading && !error && jobs.length === 0 && (
        <Empty title={texts.emptyBatch} text={texts.emptyBatchText} />
      )}
      {jobs.length > 0 && <Filled batchId={batchId} jobs={jobs} />}
    </Page>
  );
}

function Filled({ batchId, jobs }: { batchId: string; jobs: Job[] }) {
  const state = useMatrixState();
  const { known } = useGrids();
  const kept = known.find((grid) => grid.batch_id === batchId)?.axes ?? null;
  const axes = useMemo(() => mergedAxes(kept, axesOf(jobs)), [kept, jobs]);
  const cells = useMemo(() => cellsOf(jobs, axes), [jobs, axes]);
  const scale = useMemo(() => scaleOf(jobs.map(workOf)), [jobs]);
  const layout = useMemo(() => layoutOf(axes, state.isSwapped), [axes, state.isSwapped]);
  const [chosen, setChosen] = useState<readonly string[]>([]);
  const choose = useCallback(
    (id: string) =>
      setChosen((ids) =>
        ids.includes(id) ? ids.filter((each) => each !== id) : [...ids, id].slice(-MOST_COMPARED),
      ),
    [],
  );
  const { set } = state;
  const open = useCallback((id: string) => set({ open: id }), [set]);
  const page = Math.min(state.page, layout.pages.length - 1);
  const numFiles = Math.max(1, ...jobs.map((job) => job.assets.length));
  return (
    <div className="flex flex-col gap-4">
      <Status jobs={jobs} />
      <Toolbar
        jobs={jobs}
        axes={axes}
        state={state}
        chosen={chosen}
        canSwap={axes.length > 1}
        hasTimes={scale !== null}
        numFiles={numFiles}
      />
      {layout.pages.length > 1 && (
        <Pages pages={layout.pages} page={page} onPage={(at) => set({ page: at })} />
      )}
      <Matrix
        layout={layout}
        point={layout.pages[page] ?? {}}
        cells={cells}
        scale={state.hasColours ? scale : null}
        image={state.image}
        chosen={chosen}
        onChoose={choose}
        onOpen={open}
      />
      <Large
        jobs={jobs}
        axes={axes}
        openId={state.open}
        image={state.image}
        onOpen={(id) => set({ open: id })}
      />
    </div>
  );
}

interface PagesProps {
  pages: readonly Point[];
  page: number;
  onPage(page: number): void;
}

function Pages({ pages, page, onPage }: PagesProps) {
  const messages = useMessages();
  const nameOf = (point: Point) =>
    Object.entries(point)
      .map(([name, value]) => `${parameterName(name, messages)} ${valueName(name, value)}`)
      .join(" · ");
  return (
    <div>
      <Segmented
        label={messages.grid.page}
        value={String(page)}
        onChange={(next) => onPage(Number(next))}
        options={pages.map((point, at) => ({ value: String(at), label: nameOf(point) }))}
      />
    </div>
  );
}
