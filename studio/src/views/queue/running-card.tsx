import { Film } from "lucide-react";
import { memo } from "react";
import { useCancel } from "@/api/actions";
import type { Job, Worker } from "@/api/client";
import { duration, interval, title } from "@/lib/format";
import { phaseColour, phaseName } from "@/lib/phases";
import { type Messages, useMessages } from "@/messages";
import { StateBadge } from "@/ui/badge";
import { Button } from "@/ui/button";
import { cx } from "@/ui/cx";
import { PhaseBar } from "@/ui/phase-bar";
import { useSeconds } from "@/views/queue/clock";
import { phasesSoFar, useBegun } from "@/views/queue/phases-so-far";

interface Props {
  job: Job;
  worker: Worker | undefined;
}

/** A job as it is made: where it is, how long it still takes, and what it looks like so far. */
export const RunningCard = memo(function RunningCard({ job, worker }: Props) {
  const messages = useMessages();
  const texts = messages.queue;
  const cancel = useCancel();
  const where = [
    job.kind === "enhance" ? texts.enhance : title(job.job_type),
    job.model,
    worker ? texts.onWorker(worker.device) : null,
    job.num_attempts > 1 ? texts.attempt(job.num_attempts) : null,
  ].filter(Boolean);
  return (
    <li className="flex flex-col gap-4 rounded-2xl border border-line bg-surface p-4 shadow-card sm:flex-row">
      {hasPreview(job) && <Preview job={job} />}
      <div className="flex min-w-0 flex-1 flex-col gap-3">
        <div className="flex items-start justify-between gap-3">
          <div className="min-w-0">
            <p className="line-clamp-2 font-medium break-words">{job.prompt}</p>
            <p className="mt-0.5 truncate text-xs text-muted">{where.join(" · ")}</p>
          </div>
          <div className="flex shrink-0 items-center gap-2">
            <StateBadge job={job} />
            <Button
              size="sm"
              variant="danger"
              disabled={job.is_cancel_requested}
              aria-label={texts.cancelJob(job.prompt)}
              onClick={() => cancel.mutate({ job })}
            >
              {messages.actions.cancel}
            </Button>
          </div>
        </div>
        <Status job={job} />
      </div>
    </li>
  );
});

// An image is finished as soon as a preview of it would be.
const hasPreview = (job: Job): boolean =>
  job.preview_url !== null || (job.kind === "generate" && job.media_type.startsWith("video/"));

function Preview({ job }: { job: Job }) {
  const texts = useMessages().queue;
  return (
    <div
      className={cx(
        "grid h-44 w-full shrink-0 place-items-center overflow-hidden rounded-xl bg-sunken sm:size-36",
        !job.preview_url && "max-sm:hidden",
      )}
    >
      {job.preview_url ? (
        <img
          src={job.preview_url}
          alt={texts.previewOf(job.prompt)}
          className="size-full object-contain"
        />
      ) : (
        <span className="flex flex-col items-center gap-1 text-xs text-faint">
          <Film size={20} strokeWidth={1.6} aria-hidden />
          {texts.noPreview}
        </span>
      )}
    </div>
  );
}

function Status({ job }: { job: Job }) {
  const messages = useMessages();
  const texts = messages.queue;
  const now_s = useSeconds(true);
  const elapsed = job.started_unix_s == null ? 0 : Math.max(0, now_s - job.started_unix_s);
  const { phase, percent, eta_s, eta_interval } = job.progress ?? {};
  const phases_s = phasesSoFar(useBegun(job), now_s);
  const whole = eta_s == null ? undefined : elapsed + eta_s;
  return (
    <div className="mt-auto flex flex-col gap-2">
      <div className="flex flex-wrap items-baseline justify-between gap-x-4 gap-y-1 text-[13px]">
        <span className="flex items-center gap-2 font-medium">
          <span
            aria-hidden
            className="size-2 rounded-[3px]"
            style={{ background: phaseColour(phase ?? "") }}
          />
          {phaseText(job, messages)}
        </span>
        <span className="numeric flex flex-wrap items-baseline gap-x-3 text-muted">
          <span>{texts.elapsed(duration(elapsed))}</span>
          {eta_s != null && (
            <span
              title={
                eta_interval
                  ? texts.leftInterval(interval(eta_interval.low_s, eta_interval.high_s))
                  : undefined
              }
              className="text-ink"
            >
              {texts.left(duration(eta_s))}
              {eta_interval && (
                <span className="text-muted">
                  {" "}
                  ({interval(eta_interval.low_s, eta_interval.high_s)})
                </span>
              )}
            </span>
          )}
          {percent != null && (
            <span className="min-w-10 text-right text-base font-semibold text-ink">
              {Math.round(percent)} %
            </span>
          )}
        </span>
      </div>
      <div
        role="progressbar"
        aria-label={texts.progressOf(job.prompt)}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={percent == null ? undefined : Math.round(percent)}
        aria-valuetext={phaseText(job, messages)}
        className={
          Object.keys(phases_s).length > 0
            ? "sr-only"
            : "h-1.5 overflow-hidden rounded-full bg-sunken"
        }
      >
        <div
          className="h-full rounded-full bg-accent transition-[width] duration-500"
          style={{ width: `${percent ?? 0}%` }}
        />
      </div>
      {Object.keys(phases_s).length > 0 && (
        <PhaseBar phases_s={phases_s} scale_s={whole} hasLegend />
      )}
    </div>
  );
}

function phaseText(job: Job, messages: Messages): string {
  const { phase, step, num_steps } = job.progress ?? {};
  if (!phase) return messages.queue.starting;
  const name = phaseName(phase, messages);
  return num_steps ? `${name} · ${messages.queue.step(step ?? 0, num_steps)}` : name;
}
