// Times of a grid as colours, and which are the extremes.
import type { Job } from "@/api/client";
import { phasesOf, sumOf } from "@/views/compare/logic/times";

/** What a result took without waiting and loading; null: it has none. */
export function workOf(job: Job): number | null {
  if (job.state !== "succeeded" || !job.ledger) return null;
  const seconds = sumOf(phasesOf(job, true));
  return seconds > 0 ? seconds : null;
}

export interface TimeScale {
  low_s: number;
  high_s: number;
}

export function scaleOf(times: readonly (number | null)[]): TimeScale | null {
  const known = times.filter((time) => time !== null);
  return known.length < 2 ? null : { low_s: Math.min(...known), high_s: Math.max(...known) };
}

/** Where a time stands between the fastest (0) and the slowest (1), by ratio. */
export function shareOf(seconds: number, { low_s, high_s }: TimeScale): number {
  if (high_s <= low_s || low_s <= 0) return 0;
  return Math.min(1, Math.max(0, Math.log(seconds / low_s) / Math.log(high_s / low_s)));
}

export function extremeOf(seconds: number, scale: TimeScale): "fastest" | "slowest" | null {
  if (scale.high_s <= scale.low_s) return null;
  if (seconds === scale.low_s) return "fastest";
  return seconds === scale.high_s ? "slowest" : null;
}
