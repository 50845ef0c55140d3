import { useQuery } from "@tanstack/react-query";
import { Hourglass } from "lucide-react";
import { Link } from "wouter";
import type { Job, Worker } from "@/api/client";
import { activeQuery, workersQuery } from "@/api/queries";
import { useMessages } from "@/messages";
import { Section } from "@/ui/card";
import { ErrorState, Skeleton } from "@/ui/states";
import { LinkButton } from "@/views/performance/link-button";
import { RunningJob } from "@/views/performance/running/job-card";

const MOST_SHOWN = 6;

/** What runs at this moment, live. */
export function NowRunning() {
  const messages = useMessages().performance.running;
  const { data, error, refetch } = useQuery({ ...activeQuery, select: running });
  const { data: workers } = useQuery({ ...workersQuery, enabled: Boolean(data?.length) });
  return (
    <Section id="now-running" title={messages.title}>
      {error && !data && <ErrorState error={error} onRetry={refetch} />}
      {!data && !error && <Skeleton className="h-8" />}
      {data?.length === 0 && <NothingRuns />}
      {data && data.length > 0 && (
        <div className="flex flex-col gap-4">
          {data.slice(0, MOST_SHOWN).map((job) => (
            <RunningJob key={job.id} job={job} memory={memoryOf(job, workers?.data)} />
          ))}
          {data.length > MOST_SHOWN && (
            <p className="text-[13px] text-muted">
              {messages.more(data.length - MOST_SHOWN)}{" "}
              <Link href="/queue" className="text-accent-ink underline">
                {messages.seeQueue}
              </Link>
            </p>
          )}
        </div>
      )}
    </Section>
  );
}

const running = (jobs: Job[]): Job[] =>
  jobs
    .filter((job) => job.state === "running")
    .sort((a, b) => (a.started_unix_s ?? 0) - (b.started_unix_s ?? 0));

function memoryOf(job: Job, workers: readonly Worker[] | undefined): Worker["memory"] {
  return workers?.find((worker) => worker.jobs.includes(job.id))?.memory ?? null;
}

function NothingRuns() {
  const messages = useMessages().performance.running;
  return (
    <div className="flex flex-wrap items-center gap-x-3 gap-y-2 text-[13px]">
      <Hourglass size={16} aria-hidden className="shrink-0 text-faint" />
      <p className="min-w-0 flex-1 basis-60">
        <span className="font-medium">{messages.empty}.</span>{" "}
        <span className="text-muted">{messages.emptyText}</span>
      </p>
      <LinkButton href="/">{messages.create}</LinkButton>
    </div>
  );
}
