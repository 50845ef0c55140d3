import { useQuery } from "@tanstack/react-query";
import { ListVideo } from "lucide-react";
import { useLocation } from "wouter";
import type { Job } from "@/api/client";
import { workersQuery } from "@/api/queries";
import { useShortcut } from "@/lib/shortcuts";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { Page } from "@/ui/page";
import { Empty, ErrorState, Loading } from "@/ui/states";
import { CancelAll } from "@/views/queue/cancel-all";
import { Ended } from "@/views/queue/ended";
import { PauseControls, PausedBar } from "@/views/queue/pause-controls";
import { useActiveJobs } from "@/views/queue/queries";
import { RunningCard } from "@/views/queue/running-card";
import { Totals, Workers } from "@/views/queue/totals";
import { WaitingList } from "@/views/queue/waiting-list";

export default function QueueView() {
  const texts = useMessages().queue;
  const { running, waiting, error, refetch, isPending, hasData } = useActiveJobs();
  // These two are answered by the rows themselves; here they stand for the help sheet.
  useShortcut({ keys: texts.keys.rows, label: texts.keyRows, scope: "here" }, () => undefined);
  useShortcut({ keys: texts.keys.pick, label: texts.keyPick, scope: "here" }, () => undefined);
  return (
    <Page title={texts.title} text={texts.text} actions={<PauseControls />} isWide>
      <PausedBar />
      <Totals />
      <div className="grid items-start gap-6 lg:grid-cols-[minmax(0,1fr)_340px]">
        <div className="min-w-0">
          {error && !hasData && <ErrorState error={error} onRetry={() => void refetch()} />}
          {isPending && !error && <Loading />}
          {hasData && <ActiveJobs running={running} waiting={waiting} />}
        </div>
        <div className="flex min-w-0 flex-col gap-6">
          <Ended />
          <Workers />
        </div>
      </div>
    </Page>
  );
}

function ActiveJobs({ running, waiting }: { running: Job[]; waiting: Job[] }) {
  if (running.length === 0 && waiting.length === 0) return <NothingHere />;
  return (
    <>
      <Running jobs={running} />
      <Waiting jobs={waiting} />
    </>
  );
}

function NothingHere() {
  const texts = useMessages().queue;
  const [, navigate] = useLocation();
  return (
    <Empty
      icon={<ListVideo size={28} />}
      title={texts.none}
      text={texts.noneHint}
      action={<Button onClick={() => navigate("/")}>{texts.create}</Button>}
    />
  );
}

function Running({ jobs }: { jobs: Job[] }) {
  const texts = useMessages().queue;
  const { data: workers } = useQuery(workersQuery);
  return (
    <section aria-labelledby="running-title">
      <h2 id="running-title" className="mb-2 flex min-h-8 items-center text-[15px] font-semibold">
        {texts.running}
      </h2>
      {jobs.length === 0 && <p className="text-[13px] text-muted">{texts.nothingRuns}</p>}
      <ul className="flex flex-col gap-3">
        {jobs.map((job) => (
          <RunningCard
            key={job.id}
            job={job}
            worker={workers?.data.find((worker) => worker.jobs.includes(job.id))}
          />
        ))}
      </ul>
    </section>
  );
}

function Waiting({ jobs }: { jobs: Job[] }) {
  const texts = useMessages().queue;
  return (
    <section aria-labelledby="waiting-title" className="mt-6">
      <div className="mb-2 flex min-h-8 items-center justify-between gap-3">
        <h2 id="waiting-title" className="flex items-baseline gap-2 text-[15px] font-semibold">
          {texts.waiting}
          <span className="numeric text-[13px] font-normal text-muted">
            {texts.jobs(jobs.length)}
          </span>
        </h2>
        {jobs.length > 0 && <CancelAll waiting={jobs} />}
      </div>
      {jobs.length === 0 ? (
        <p className="text-[13px] text-muted">{texts.nothingWaits}</p>
      ) : (
        <div className="overflow-clip rounded-2xl border border-line bg-surface shadow-card">
          <WaitingList order={jobs} />
        </div>
      )}
    </section>
  );
}
