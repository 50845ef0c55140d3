import { Images, Play } from "lucide-react";
import { type MouseEvent, memo, type ReactNode, useState } from "react";
import { useRetry } from "@/api/actions";
import type { Job } from "@/api/client";
import { duration, title } from "@/lib/format";
import { AssetView } from "@/media/asset-view";
import { isVideo } from "@/media/assets";
import { DefectButton } from "@/media/defect-button";
import { madeIn, workPhases } from "@/media/facts";
import { FavouriteButton } from "@/media/favourite";
import { Stars } from "@/media/stars";
import { Thumbnail } from "@/media/thumbnail";
import { useMessages } from "@/messages";
import { StateBadge } from "@/ui/badge";
import { Button } from "@/ui/button";
import { cx } from "@/ui/cx";
import { PhaseBar } from "@/ui/phase-bar";
import { TEXT_PX } from "@/views/library/layout";
import { useSelection } from "@/views/library/selection";

export interface CardHandlers {
  onOpen(id: string): void;
  /** A press with Shift: everything up to here. */
  onExtend(id: string): void;
}

interface Props {
  job: Job;
  handlers: CardHandlers;
}

/** A result: what it shows, what it was asked for, where the time went. */
export const ResultCard = memo(function ResultCard({ job, handlers }: Props) {
  const isSelected = useSelection((state) => state.ids.has(job.id));
  const isActive = useSelection((state) => state.active === job.id);
  const tabIndex = isActive ? 0 : -1;
  const [isLooked, setIsLooked] = useState(false);
  return (
    <article
      className={cx(
        "group relative flex h-full flex-col overflow-hidden rounded-xl border bg-surface shadow-card",
        isSelected ? "border-accent ring-1 ring-accent" : "border-line hover:border-line-strong",
      )}
      onPointerEnter={(event) => event.pointerType === "mouse" && setIsLooked(true)}
      onPointerLeave={() => setIsLooked(false)}
      onFocus={(event) => event.target.matches(":focus-visible") && setIsLooked(true)}
      onBlur={(event) => !event.currentTarget.contains(event.relatedTarget) && setIsLooked(false)}
    >
      <div className="relative aspect-4/3 shrink-0 bg-sunken">
        <CardMedia job={job} isPlaying={isLooked} />
        <SelectBox job={job} isSelected={isSelected} tabIndex={tabIndex} handlers={handlers} />
        <FavouriteButton
          job={job}
          tabIndex={tabIndex}
          className={cx(
            "absolute! top-1.5 right-1.5 z-10 bg-surface/90!",
            !job.is_favourite && SHOWN_ON_LOOK,
          )}
        />
      </div>
      <CardText job={job} tabIndex={tabIndex} handlers={handlers} isLooked={isLooked} />
    </article>
  );
});

// Touch screens know no hovering: there it is always shown.
const IS_TOUCH = window.matchMedia?.("(hover: none)").matches ?? false;
const SHOWN_ON_LOOK =
  "pointer-fine:opacity-0 group-hover:opacity-100 group-focus-within:opacity-100";

function CardMedia({ job, isPlaying }: { job: Job; isPlaying: boolean }) {
  const messages = useMessages();
  const asset = job.assets[0];
  if (!asset) return <NoMedia job={job} />;
  const isMoving =
    isPlaying && isVideo(asset) && !window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  return (
    <>
      <Thumbnail asset={asset} alt="" className="absolute inset-0 size-full object-contain!" />
      {isMoving && (
        <AssetView
          asset={asset}
          job={job}
          autoplay
          controls={false}
          className="absolute inset-0 size-full bg-sunken"
        />
      )}
      {isVideo(asset) && !isMoving && (
        <Corner>
          <Play size={11} fill="currentColor" aria-hidden />
          {duration(asset.duration_s)}
        </Corner>
      )}
      {job.assets.length > 1 && (
        <Corner>
          <Images size={12} aria-hidden />
          <span className="sr-only">{messages.library.images(job.assets.length)}</span>
          <span aria-hidden>{job.assets.length}</span>
        </Corner>
      )}
    </>
  );
}

function Corner({ children }: { children: ReactNode }) {
  return (
    <span className="numeric absolute right-1.5 bottom-1.5 flex h-5 items-center gap-1 rounded-md bg-surface/90 px-1.5 text-[11px] font-medium">
      {children}
    </span>
  );
}

function NoMedia({ job }: { job: Job }) {
  const texts = useMessages().library;
  const reason = {
    failed: job.error?.message ?? texts.noReason,
    cancelled: texts.cancelledHint,
  } as Record<string, string>;
  return (
    <div className="flex size-full flex-col items-start justify-end gap-1.5 p-3">
      <StateBadge job={job} />
      <p className="line-clamp-4 text-xs break-words text-muted">
        {reason[job.state] ?? texts.noFile}
      </p>
    </div>
  );
}

interface PartProps extends Props {
  tabIndex: number;
}

function SelectBox({ job, isSelected, tabIndex, handlers }: PartProps & { isSelected: boolean }) {
  const texts = useMessages().library;
  const isAny = useSelection((state) => state.ids.size > 0);
  const { toggle } = useSelection.getState();
  const press = (event: MouseEvent) => {
    if (event.shiftKey) handlers.onExtend(job.id);
    else toggle(job.id);
  };
  return (
    <label
      className={cx(
        "absolute top-1.5 left-1.5 z-10 grid size-8 cursor-pointer place-items-center rounded-md bg-surface/90",
        !isSelected && !isAny && SHOWN_ON_LOOK,
      )}
    >
      <input
        type="checkbox"
        className="size-4 accent-(--accent)"
        checked={isSelected}
        tabIndex={tabIndex}
        aria-label={texts.select(job.prompt)}
        onClick={press}
        onChange={() => undefined}
      />
    </label>
  );
}

function CardText({ job, tabIndex, handlers, isLooked }: PartProps & { isLooked: boolean }) {
  const messages = useMessages();
  const texts = messages.library;
  const seconds = madeIn(job);
  const open = (event: MouseEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (event.shiftKey) handlers.onExtend(job.id);
    else handlers.onOpen(job.id);
  };
  return (
    <div className="flex flex-col px-3 pt-2.5 pb-2" style={{ height: TEXT_PX }}>
      <a
        href={`/library/${job.id}`}
        data-card={job.id}
        tabIndex={tabIndex}
        onClick={open}
        onFocus={() => useSelection.getState().setActive(job.id)}
        className="line-clamp-2 min-h-10 text-[13px] leading-5 font-medium break-words outline-none after:absolute after:inset-0 after:rounded-xl focus-visible:after:outline-2 focus-visible:after:-outline-offset-2 focus-visible:after:outline-accent"
      >
        {job.prompt}
      </a>
      {job.ledger && <PhaseBar phases_s={workPhases(job)} className="mt-2" />}
      <p className="numeric mt-1.5 flex items-baseline justify-between gap-2 text-xs text-muted">
        <span className="truncate">{title(job.job_type)}</span>
        {seconds != null && (
          <span className="shrink-0 font-medium text-ink" title={texts.madeIn(duration(seconds))}>
            {duration(seconds)}
          </span>
        )}
      </p>
      <div className="relative z-10 mt-auto -ml-1 flex w-fit max-w-full items-center">
        {job.state === "succeeded" ? (
          <>
            <Stars job={job} size="sm" tabIndex={tabIndex} className="shrink-0" />
            <DefectButton
              job={job}
              tabIndex={tabIndex}
              isOffered={isLooked || IS_TOUCH}
              className="min-w-0"
            />
          </>
        ) : (
          <RetryButton job={job} tabIndex={tabIndex} />
        )}
      </div>
    </div>
  );
}

function RetryButton({ job, tabIndex }: { job: Job; tabIndex: number }) {
  const messages = useMessages();
  const retry = useRetry();
  return (
    <Button
      size="sm"
      variant="ghost"
      tabIndex={tabIndex}
      isBusy={retry.isPending}
      onClick={() => retry.mutate({ job })}
    >
      {messages.actions.retry}
    </Button>
  );
}
