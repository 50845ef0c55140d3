// The runs of one group, out of the history that it belongs to. Pure, tested in runs.test.ts.
import type { StripPoint } from "@/charts/strip-plot";
import type { Baseline, Series } from "@/views/performance/queries";

export interface GroupRun {
  id: string;
  at: string;
  seconds: number;
  leftOut: string[];
  isOutlier: boolean;
}

/** Runs that count for a baseline and those left out of it, oldest first, where they have a time. */
export function groupRuns(series: Series | undefined, baseline: Baseline): GroupRun[] {
  const counted = new Set(baseline.runs);
  const leftOut = new Map(baseline.left_out.map((run) => [run.id, run.reasons]));
  const outliers = new Set(baseline.outliers.total);
  return (series?.points ?? []).flatMap((point) => {
    const seconds = point.values.total;
    if (seconds == null || !(counted.has(point.id) || leftOut.has(point.id))) return [];
    return [
      {
        id: point.id,
        at: point.at,
        seconds,
        leftOut: leftOut.get(point.id) ?? [],
        isOutlier: outliers.has(point.id),
      },
    ];
  });
}

export const stripPoint = (run: GroupRun, text: string): StripPoint => ({
  id: run.id,
  value: run.seconds,
  text,
  isLeftOut: run.leftOut.length > 0,
});

const NOT_PHASES = new Set(["total", "step", "peak_memory", "host_memory", "queue_wait"]);

/**
 * What each phase takes in a run on average: a run without it counts as 0 s, so that they add up.
 * Medians of the runs that have a phase would not. Waiting in the queue is none of the job's own.
 */
export function phaseMeans({
  measures,
  n,
}: {
  measures: Record<string, { mean: number; n: number }>;
  n: number;
}): Record<string, number> {
  return Object.fromEntries(
    Object.entries(measures)
      .filter(([name]) => !NOT_PHASES.has(name))
      .map(([name, summary]) => [name, (summary.mean * summary.n) / Math.max(n, summary.n, 1)]),
  );
}
