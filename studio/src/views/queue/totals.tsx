import { useQuery } from "@tanstack/react-query";
import type { Queue, Worker } from "@/api/client";
import { queueQuery, workersQuery } from "@/api/queries";
import { bytes, duration, interval, number } from "@/lib/format";
import { type Messages, useMessages } from "@/messages";
import { Badge } from "@/ui/badge";
import { Stat } from "@/ui/card";
import { Skeleton } from "@/ui/states";

/** The queue in four numbers, and who works on it. */
export function Totals() {
  const messages = useMessages();
  const texts = messages.queue;
  const { data: queue } = useQuery(queueQuery);
  if (!queue) return <Skeleton className="mb-5 h-20" />;
  const empty = emptyIn(queue, messages);
  return (
    <dl
      aria-label={texts.totals}
      className="mb-5 grid grid-cols-2 gap-x-6 gap-y-4 rounded-2xl border border-line bg-surface p-4 shadow-card sm:grid-cols-4 sm:px-5"
    >
      <Stat name={texts.running} value={number(queue.by_state.running ?? 0)} />
      <Stat name={texts.waiting} value={number(queue.by_state.queued ?? 0)} />
      <Stat name={texts.emptyIn} value={empty.value} detail={empty.detail} />
      <Stat
        name={texts.workers}
        value={number(queue.num_workers)}
        detail={queue.num_workers === 0 ? texts.noWorkerHint : undefined}
      />
    </dl>
  );
}

function emptyIn(queue: Queue, { queue: texts }: Messages): { value: string; detail?: string } {
  const wait = queue.empty_in;
  if (!wait) return { value: "–", detail: queue.num_workers ? undefined : texts.emptyUnknown };
  const isHeld = queue.paused.length > 0 && (queue.by_state.queued ?? 0) > 0;
  if (wait.seconds <= 0 && isHeld) return { value: "–", detail: texts.emptyPaused };
  if (wait.seconds <= 0) return { value: texts.emptyNow };
  return { value: duration(wait.seconds), detail: interval(wait.low_s, wait.high_s) };
}

export function Workers() {
  const texts = useMessages().queue;
  const { data } = useQuery(workersQuery);
  if (!data?.data.length) return null;
  return (
    <section aria-labelledby="workers-title">
      <h2 id="workers-title" className="mb-2 text-[15px] font-semibold">
        {texts.workers}
      </h2>
      <ul className="overflow-hidden rounded-2xl border border-line bg-surface shadow-card">
        {data.data.map((worker) => (
          <WorkerRow key={worker.id} worker={worker} />
        ))}
      </ul>
    </section>
  );
}

function WorkerRow({ worker }: { worker: Worker }) {
  const texts = useMessages().queue;
  const held = Object.entries(worker.resident);
  const free = worker.memory?.budget_bytes ? worker.memory.free_bytes : null;
  return (
    <li className="flex flex-wrap items-center gap-x-4 gap-y-1 border-b border-line px-4 py-2.5 text-[13px] last:border-0">
      <span className="font-medium">{worker.device}</span>
      <span className="min-w-0 truncate text-muted">{worker.host}</span>
      <Badge className="ml-auto" tone={worker.jobs.length > 0 ? "accent" : "neutral"}>
        {texts.workerState(worker.state)}
      </Badge>
      <span className="numeric min-w-0 basis-full text-xs text-muted">
        {held.length === 0
          ? texts.noModels
          : texts.holds(held.map(([name, size]) => `${name} (${bytes(size)})`).join(", "))}
        {free !== null && ` · ${texts.workerFree(bytes(free))}`}
      </span>
    </li>
  );
}
