import { RotateCcw } from "lucide-react";
import { useRetry } from "@/api/actions";
import type { Job } from "@/api/client";
import { duration, percent } from "@/lib/format";
import { phaseName } from "@/lib/phases";
import { useMessages } from "@/messages";
import { StateBadge } from "@/ui/badge";
import { Button } from "@/ui/button";

interface Props {
  job: Job;
  name: string;
  onOpen(id: string): void;
}

/** A cell without a result: waiting, running with its preview, failed with the reason, cancelled. */
export function Unfinished({ job, name, onOpen }: Props) {
  if (job.state === "running") return <Running job={job} />;
  const isOver = job.state === "failed" || job.state === "cancelled";
  return (
    <div className="flex min-h-51 flex-col gap-2 rounded-lg border border-dashed border-line bg-surface p-2.5 sm:min-h-59">
      <span className="flex">
        <StateBadge job={job} />
      </span>
      {isOver && <Over job={job} name={name} onOpen={onOpen} />}
    </div>
  );
}

function Over({ job, name, onOpen }: Props) {
  const texts = useMessages().grid;
  const retry = useRetry();
  return (
    <>
      {job.state === "failed" && job.error && (
        <button
          type="button"
          aria-label={texts.open(name)}
          onClick={() => onOpen(job.id)}
          className="line-clamp-4 text-left text-xs break-words text-muted hover:text-ink"
        >
          {job.error.message}
        </button>
      )}
      <Button
        size="sm"
        className="mt-auto self-start"
        icon={<RotateCcw size={14} />}
        isBusy={retry.isPending}
        onClick={() => retry.mutate({ job })}
      >
        {texts.retry}
      </Button>
    </>
  );
}

function Running({ job }: { job: Job }) {
  const messages = useMessages();
  const { progress, preview_url } = job;
  const done = progress?.percent ?? 0;
  return (
    <div className="flex min-h-51 flex-col overflow-hidden rounded-lg border border-accent sm:min-h-59 bg-surface">
      <div className="relative aspect-square w-full bg-sunken">
        {preview_url && (
          <img src={preview_url} alt="" className="absolute inset-0 size-full object-contain" />
        )}
      </div>
      <div
        role="progressbar"
        aria-label={messages.grid.percentDone(percent(done / 100))}
        aria-valuenow={Math.round(done)}
        aria-valuemin={0}
        aria-valuemax={100}
        className="h-1 bg-sunken"
      >
        <div className="h-full bg-accent transition-all" style={{ width: `${done}%` }} />
      </div>
      <div className="flex min-h-12 flex-col justify-center px-2 py-1.5">
        <span className="flex items-center justify-between gap-2 text-[13px]">
          <span className="numeric font-medium">{percent(done / 100)}</span>
          <span className="numeric text-xs text-muted">
            {progress?.eta_s == null ? "" : duration(progress.eta_s)}
          </span>
        </span>
        <span className="truncate text-xs text-muted">
          {progress?.phase ? phaseName(progress.phase, messages) : messages.states.running}
        </span>
      </div>
    </div>
  );
}
