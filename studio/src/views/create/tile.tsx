import { Ban, CircleAlert, Clock } from "lucide-react";
import { memo, type ReactNode, type SyntheticEvent, useEffect, useRef } from "react";
import { Link } from "wouter";
import type { Asset, Job } from "@/api/client";
import { duration, percent, title } from "@/lib/format";
import { phaseColour, phaseName } from "@/lib/phases";
import { DefectButton, isVideo, madeIn, Stars, Thumbnail, useFreshAsset } from "@/media";
import { BrokenFile } from "@/media/thumbnail";
import { useMessages } from "@/messages";
import { stateName } from "@/ui/badge";
import { cx } from "@/ui/cx";
import { PhaseDot } from "@/ui/phase-bar";
import { isSameTile } from "@/views/create/latest";
import { useMemory } from "@/views/create/memory";

/** A job under the form: live while it runs, its result once it is there. */
export const Tile = memo(
  function Tile({ job }: { job: Job }) {
    return (
      <li className="min-w-0 overflow-hidden rounded-xl border border-line bg-surface shadow-card transition-colors hover:border-line-strong">
        <Link href={`/library/${job.id}`} className="block focus-visible:-outline-offset-2">
          <div className="relative grid h-44 place-items-center overflow-hidden bg-sunken">
            <Picture job={job} />
            <Progress job={job} />
          </div>
          <div className="px-3 pt-2.5">
            <p className="truncate text-[13px]" title={job.prompt}>
              {job.prompt}
            </p>
            <p className="numeric mt-0.5 flex h-4 items-center gap-1.5 text-xs text-muted">
              <Line job={job} />
            </p>
          </div>
        </Link>
        <div className="flex h-9 items-center px-1.5">
          {job.state === "succeeded" && (
            <>
              <Stars job={job} size="sm" className="shrink-0" />
              <DefectButton job={job} className="min-w-0" />
            </>
          )}
        </div>
      </li>
    );
  },
  (before, after) => isSameTile(before.job, after.job),
);

function Picture({ job }: { job: Job }) {
  const [first] = job.assets;
  if (first && isVideo(first)) return <Clip asset={first} />;
  if (first) return <Mosaic assets={job.assets} />;
  if (job.preview_url)
    return <img src={job.preview_url} alt="" className="size-full object-contain" />;
  if (job.state === "failed") return <Failure job={job} />;
  return (
    <span className="text-faint">
      <StateIcon job={job} />
    </span>
  );
}

function Failure({ job }: { job: Job }) {
  return (
    <div className="flex flex-col items-center gap-2 px-4 text-center text-xs">
      <CircleAlert size={20} aria-hidden className="text-bad" />
      <p className="line-clamp-5 break-words">{job.error?.message}</p>
    </div>
  );
}

function StateIcon({ job }: { job: Job }): ReactNode {
  if (job.state === "cancelled") return <Ban size={22} aria-hidden />;
  return <Clock size={22} aria-hidden className={cx(job.state === "running" && "animate-pulse")} />;
}

const MOST_IMAGES = 6;

function Mosaic({ assets }: { assets: Asset[] }) {
  const { latest } = useMessages().create;
  const [only, second] = assets;
  if (!only) return null;
  if (!second) return <Still asset={only} />;
  const shown = assets.slice(0, MOST_IMAGES);
  const columns = shown.length > 4 ? "grid-cols-3" : "grid-cols-2";
  return (
    <div className={cx("grid size-full gap-px", columns, shown.length > 2 && "grid-rows-2")}>
      {shown.map((asset) => (
        <Thumbnail key={asset.id} asset={asset} alt="" className="size-full min-h-0" />
      ))}
      {assets.length > MOST_IMAGES && (
        <span className="numeric absolute right-1.5 bottom-1.5 rounded-md bg-raised px-1.5 text-xs">
          {latest.more(assets.length - MOST_IMAGES)}
        </span>
      )}
    </div>
  );
}

/** One image in full. Addresses expire while a page stays open. */
function Still({ asset: given }: { asset: Asset }) {
  const { asset, isBroken, renew } = useFreshAsset(given);
  if (isBroken) return <BrokenFile className="size-full" />;
  return (
    <img
      src={asset.url}
      alt=""
      loading="lazy"
      onError={renew}
      className="size-full object-contain"
    />
  );
}

/** Plays while it can be seen and playing is wished for. */
function Clip({ asset: given }: { asset: Asset }) {
  const { asset, isBroken, renew } = useFreshAsset(given);
  const ref = useRef<HTMLVideoElement>(null);
  const isPlaying = useMemory((store) => store.isPlaying);
  useEffect(() => {
    const video = ref.current;
    if (!video) return;
    if (!isPlaying) {
      video.pause();
      return;
    }
    const watch = new IntersectionObserver(([entry]) => {
      if (entry?.isIntersecting)
        void video.play().catch(() => undefined); // the browser may refuse
      else video.pause();
    });
    watch.observe(video);
    return () => watch.disconnect();
  }, [isPlaying]);
  if (isBroken) return <BrokenFile className="size-full" />;
  return (
    <video
      ref={ref}
      src={asset.url}
      poster={asset.thumbnail_url ?? undefined}
      autoPlay={isPlaying && asset !== given} // a renewed address goes on where it was wished
      muted
      loop
      playsInline
      preload="metadata"
      tabIndex={-1}
      aria-hidden
      onError={(event: SyntheticEvent<HTMLVideoElement>) => {
        if (event.currentTarget.error) renew();
      }}
      className="size-full object-contain"
    />
  );
}

/** How far it is, by eye; the line below says it in words. */
function Progress({ job }: { job: Job }) {
  if (job.state !== "running") return null;
  const { phase, percent: done } = job.progress ?? {};
  return (
    <div aria-hidden className="absolute inset-x-0 bottom-0 h-1 bg-line">
      <span
        className="block h-full transition-[width] duration-500"
        style={{ width: `${done ?? 0}%`, background: phaseColour(phase ?? "queue_wait") }}
      />
    </div>
  );
}

function Line({ job }: { job: Job }) {
  const messages = useMessages();
  const { latest } = messages.create;
  if (job.state === "failed") return <span className="text-bad">{messages.states.failed}</span>;
  if (job.state === "succeeded")
    return (
      <>
        <span className="truncate">{title(job.job_type)}</span>
        <span className="ml-auto shrink-0">{duration(madeIn(job))}</span>
      </>
    );
  if (job.state !== "running") return stateName(job, messages);
  const { phase, step, num_steps, percent: done } = job.progress ?? {};
  return (
    <>
      {phase && <PhaseDot phase={phase} />}
      <span className="truncate">
        {phase ? phaseName(phase, messages) : latest.starting}
        {step != null && num_steps != null && ` ${latest.steps(step, num_steps)}`}
      </span>
      {done != null && <span className="ml-auto shrink-0 text-ink">{percent(done / 100)}</span>}
    </>
  );
}
