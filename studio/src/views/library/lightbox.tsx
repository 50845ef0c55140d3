import { useQuery } from "@tanstack/react-query";
import { ChevronLeft, ChevronRight } from "lucide-react";
import { useCallback, useDeferredValue, useEffect, useMemo, useRef, useState } from "react";
import type { Job } from "@/api/client";
import { jobQuery } from "@/api/queries";
import { useAfterPaint } from "@/lib/after-paint";
import { useShortcut } from "@/lib/shortcuts";
import { useRate } from "@/media/rating";
import { Thumbnail } from "@/media/thumbnail";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { cx } from "@/ui/cx";
import { Dialog } from "@/ui/dialog";
import { Empty, ErrorState, Loading } from "@/ui/states";
import { LightboxPanel } from "@/views/library/lightbox-panel";
import { Stage } from "@/views/library/stage";

const NEAR_END = 3;
const STARS = [1, 2, 3, 4, 5];

interface Props {
  id: string;
  jobs: readonly Job[];
  onGo(id: string): void;
  onClose(): void;
  onDelete(id: string): void;
  onNearEnd(): void;
}

/** One result, large, with everything that is known of it. */
export function Lightbox({ id, jobs, onGo, onClose, onDelete, onNearEnd }: Props) {
  const messages = useMessages();
  const index = jobs.findIndex((job) => job.id === id);
  const { data, error, refetch } = useQuery({ ...jobQuery(id), placeholderData: jobs[index] });
  const job = data?.id === id ? data : jobs[index];
  const latest = useRef(onDelete);
  latest.current = onDelete;
  const remove = useCallback((gone: string) => latest.current(gone), []);
  useEffect(() => {
    if (index >= jobs.length - NEAR_END) onNearEnd();
  }, [index, jobs.length, onNearEnd]);
  const [previous, next] = index < 0 ? [] : [jobs[index - 1], jobs[index + 1]];
  return (
    <Dialog isOpen onClose={onClose} size="full" isTitleHidden title={messages.library.lightbox}>
      {job ? (
        <Content job={job} previous={previous} next={next} onGo={onGo} onDelete={remove} />
      ) : (
        <div className="pt-12">
          {!error && <Loading />}
          {error && isGone(error) && <Gone onClose={onClose} />}
          {error && !isGone(error) && <ErrorState error={error} onRetry={() => void refetch()} />}
        </div>
      )}
    </Dialog>
  );
}

const isGone = (error: unknown): boolean => (error as { status?: number }).status === 404;

function Gone({ onClose }: { onClose(): void }) {
  const texts = useMessages().library;
  return (
    <Empty
      title={texts.gone}
      text={texts.goneHint}
      action={<Button onClick={onClose}>{texts.back}</Button>}
    />
  );
}

interface ContentProps {
  job: Job;
  previous: Job | undefined;
  next: Job | undefined;
  onGo(id: string): void;
  onDelete(id: string): void;
}

function Content({ job, previous, next, onGo, onDelete }: ContentProps) {
  const [shown, setShown] = useState({ id: job.id, index: 0 });
  const index = shown.id === job.id ? shown.index : 0;
  const asset = job.assets[index] ?? job.assets[0];
  // The picture comes at once, all that is known of it in the frames after.
  const isShown = useAfterPaint();
  const told = useDeferredValue(useMemo(() => ({ job, asset }), [job, asset]));
  usePreload([previous, next]);
  useLightboxKeys({ job, previous, next, onGo, onDelete });
  return (
    <div className="grid h-full gap-5 pt-12 lg:grid-cols-[minmax(0,1fr)_360px] lg:pt-5">
      <div className="flex min-h-0 min-w-0 flex-col gap-3">
        <Stage key={asset?.id ?? job.id} job={job} asset={asset} />
        <div className="flex min-h-8 items-center justify-between gap-3">
          {isShown && <Step job={previous} onGo={onGo} kind="previous" />}
          {job.assets.length > 1 && (
            <Files
              job={job}
              index={index}
              onPick={(picked) => setShown({ id: job.id, index: picked })}
            />
          )}
          {isShown && <Step job={next} onGo={onGo} kind="next" />}
        </div>
      </div>
      <div className="min-h-0 pb-2 lg:overflow-y-auto lg:border-l lg:border-line lg:pt-7 lg:pl-5">
        {isShown && <LightboxPanel {...told} onDelete={onDelete} />}
      </div>
    </div>
  );
}

interface StepProps {
  job: Job | undefined;
  kind: "previous" | "next";
  onGo(id: string): void;
}

function Step({ job, kind, onGo }: StepProps) {
  const texts = useMessages().library;
  const isNext = kind === "next";
  return (
    <Button
      size="sm"
      variant="ghost"
      disabled={!job}
      icon={isNext ? undefined : <ChevronLeft size={16} />}
      onClick={() => job && onGo(job.id)}
    >
      {isNext ? texts.next : texts.previous}
      {isNext && <ChevronRight size={16} />}
    </Button>
  );
}

interface FilesProps {
  job: Job;
  index: number;
  onPick(index: number): void;
}

function Files({ job, index, onPick }: FilesProps) {
  const texts = useMessages().library;
  return (
    <div className="flex min-w-0 gap-1.5 overflow-x-auto p-1">
      {job.assets.map((asset, at) => (
        <button
          key={asset.id}
          type="button"
          aria-pressed={at === index}
          aria-label={texts.file(at + 1, job.assets.length)}
          onClick={() => onPick(at)}
          className={cx(
            "size-12 shrink-0 overflow-hidden rounded-lg border-2",
            at === index ? "border-accent" : "border-transparent",
          )}
        >
          <Thumbnail asset={asset} alt="" className="size-full" />
        </button>
      ))}
    </div>
  );
}

/** Neighbours are there before they are asked for: images whole, videos by their still. */
function usePreload(jobs: readonly (Job | undefined)[]): void {
  const urls = jobs
    .map((job) => job?.assets[0])
    .map((asset) => (asset?.media_type.startsWith("image/") ? asset.url : asset?.thumbnail_url))
    .filter((url) => url != null)
    .join(" ");
  useEffect(() => {
    for (const url of urls.split(" ").filter(Boolean)) new Image().src = url;
  }, [urls]);
}

function useLightboxKeys({ job, previous, next, onGo, onDelete }: ContentProps): void {
  const { key, shown } = useMessages().library;
  const rate = useRate();
  const go = (to: Job | undefined) => () => to && onGo(to.id);
  useShortcut({ keys: "arrowleft", label: key.previous, scope: "here" }, go(previous));
  useShortcut({ keys: "arrowright", label: key.next, scope: "here" }, go(next));
  useShortcut({ keys: "delete", label: key.remove, scope: "here" }, () => onDelete(job.id));
  useShortcut({ keys: shown.stars, label: key.stars, scope: "here" }, () => undefined);
  const latest = { job, rate: rate.mutate };
  useDigits((stars) => {
    if (latest.job.state === "succeeded") latest.rate({ job: latest.job, stars: stars || null });
  });
}

/** Whether digits are text there; the stars themselves are radios. */
const isTyped = (target: HTMLElement): boolean =>
  /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) && (target as HTMLInputElement).type !== "radio";

/** 1 to 5 set stars, 0 takes them back. Behind a modal, digits lead to no other page. */
function useDigits(set: (stars: number) => void): void {
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      const isOther = event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented;
      if (isOther || isTyped(event.target as HTMLElement)) return;
      const stars = Number(event.key);
      if (event.key === "0" || STARS.includes(stars)) set(stars);
    };
    window.addEventListener("keydown", listen);
    return () => window.removeEventListener("keydown", listen);
  });
}
