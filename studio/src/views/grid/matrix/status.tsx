import { useQuery } from "@tanstack/react-query";
import type { Job } from "@/api/client";
import { queueQuery } from "@/api/queries";
import { duration } from "@/lib/format";
import { useMessages } from "@/messages";
import { tallyOf } from "@/views/grid/logic/cells";

/** How far the grid is. */
export function Status({ jobs }: { jobs: readonly Job[] }) {
  const texts = useMessages().grid;
  const { data: queue } = useQuery(queueQuery);
  const tally = tallyOf(jobs);
  const isOpen = tally.running + tally.waiting > 0;
  const left_s = (tally.left_s ?? 0) / Math.max(1, queue?.num_workers ?? 1);
  const parts = [
    tally.running > 0 && texts.runningCount(tally.running),
    tally.waiting > 0 && texts.waitingCount(tally.waiting),
    tally.failed > 0 && texts.failedCount(tally.failed),
    tally.cancelled > 0 && texts.cancelledCount(tally.cancelled),
    isOpen && left_s > 0 && texts.left(duration(left_s)),
  ].filter((part) => part !== false);
  const share = (count: number) => `${(100 * count) / Math.max(1, tally.total)}%`;
  return (
    <div className="flex flex-col gap-2">
      <p className="numeric flex flex-wrap gap-x-2 text-[13px] text-muted">
        <span className="font-medium text-ink">{texts.done(tally.done, tally.total)}</span>
        {parts.map((part) => (
          <span key={part}>· {part}</span>
        ))}
      </p>
      <div
        role="progressbar"
        aria-label={texts.progress}
        aria-valuemin={0}
        aria-valuemax={tally.total}
        aria-valuenow={tally.done}
        aria-valuetext={texts.done(tally.done, tally.total)}
        className="flex h-1.5 gap-px overflow-hidden rounded-full bg-sunken"
      >
        <span className="bg-good transition-all" style={{ width: share(tally.done) }} />
        <span className="bg-bad transition-all" style={{ width: share(tally.failed) }} />
        <span className="bg-accent transition-all" style={{ width: share(tally.running) }} />
      </div>
    </div>
  );
}
