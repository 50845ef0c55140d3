import { useQuery } from "@tanstack/react-query";
import { Ban, CircleAlert, RotateCcw } from "lucide-react";
import { memo } from "react";
import { Link } from "wouter";
import { useRetry } from "@/api/actions";
import type { Job } from "@/api/client";
import { newestQuery } from "@/api/queries";
import { ago, duration } from "@/lib/format";
import { madeIn } from "@/media/facts";
import { Thumbnail } from "@/media/thumbnail";
import { useMessages } from "@/messages";
import { stateName } from "@/ui/badge";
import { IconButton } from "@/ui/button";
import { ENDED } from "@/views/queue/queries";

const MOST_SHOWN = 6;

export function newestEnds(jobs: readonly Job[], most: number = MOST_SHOWN): Job[] {
  return [...jobs]
    .sort((a, b) => (b.finished_unix_s ?? 0) - (a.finished_unix_s ?? 0))
    .slice(0, most);
}

/** The last few that ended, and a second try for those that did not work out. */
export function Ended() {
  const texts = useMessages().queue;
  const { data } = useQuery(newestQuery(ENDED));
  const jobs = newestEnds(data ?? []);
  if (jobs.length === 0) return null;
  return (
    <section aria-labelledby="ended-title">
      <div className="mb-2 flex min-h-8 items-center justify-between gap-3">
        <h2 id="ended-title" className="text-[15px] font-semibold">
          {texts.ended}
        </h2>
        <Link
          href="/library?state=all"
          className="text-[13px] text-accent-ink underline-offset-2 hover:underline"
        >
          {texts.seeLibrary}
        </Link>
      </div>
      <ul className="overflow-hidden rounded-2xl border border-line bg-surface shadow-card">
        {jobs.map((job) => (
          <EndedRow key={job.id} job={job} />
        ))}
      </ul>
    </section>
  );
}

const EndedRow = memo(function EndedRow({ job }: { job: Job }) {
  const messages = useMessages();
  const texts = messages.queue;
  const asset = job.assets[0];
  const total = madeIn(job);
  const facts = [
    stateName(job, messages),
    job.state === "succeeded" && total != null ? texts.took(duration(total)) : null,
    ago(job.finished_at),
  ].filter(Boolean);
  return (
    <li className="flex items-center gap-3 border-b border-line px-3 py-2.5 last:border-0 ">
      {asset ? (
        <Thumbnail asset={asset} alt="" className="size-10 shrink-0 rounded-lg" />
      ) : (
        <span className="grid size-10 shrink-0 place-items-center rounded-lg bg-sunken text-faint">
          {job.state === "failed" ? <CircleAlert size={16} /> : <Ban size={16} />}
        </span>
      )}
      <div className="min-w-0 flex-1">
        <Link
          href={`/library/${job.id}`}
          className="block truncate text-sm font-medium hover:underline"
        >
          {job.prompt}
        </Link>
        <p className="numeric truncate text-xs text-muted">{facts.join(" · ")}</p>
        {job.state === "failed" && (
          <p className="mt-0.5 line-clamp-2 text-xs text-bad">
            {job.error?.message ?? texts.noReason}
          </p>
        )}
      </div>
      {job.state !== "succeeded" && <Retry job={job} />}
    </li>
  );
});

function Retry({ job }: { job: Job }) {
  const texts = useMessages().queue;
  const retry = useRetry();
  return (
    <IconButton
      size="sm"
      isBusy={retry.isPending}
      icon={<RotateCcw size={15} />}
      label={texts.retryOf(job.prompt)}
      onClick={() => retry.mutate({ job })}
    />
  );
}
