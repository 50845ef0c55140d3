// Which steps stand out. Pure, tested in steps.test.ts.

export interface Step {
  number: number;
  seconds: number;
  /** The first two: kernels are chosen and caches filled in them, so they are told apart. */
  isFirst: boolean;
  isOutlier: boolean;
}

const FIRST = 2;
const LIMIT = 3.5; // Iglewicz and Hoaglin
const TO_SD = 0.6745;

export function median(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const high = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? high : ((sorted[middle - 1] ?? 0) + high) / 2;
}

/** The later steps, or all of them where there are too few. */
const steady = (times: readonly number[]): readonly number[] =>
  times.length > FIRST + 2 ? times.slice(FIRST) : times;

/** The median of the steps behind the first two. */
export function stepMedian(times_s: readonly number[]): number | null {
  return median(steady(times_s));
}

/** Steps with a modified z-score beyond 3.5 are marked, and never taken away. */
export function markSteps(times_s: readonly number[]): Step[] {
  const counted = steady(times_s);
  const middle = median(counted) ?? 0;
  const mad = median(counted.map((seconds) => Math.abs(seconds - middle))) ?? 0;
  return times_s.map((seconds, index) => ({
    number: index + 1,
    seconds,
    isFirst: index < times_s.length - counted.length,
    isOutlier: mad > 0 && (TO_SD * Math.abs(seconds - middle)) / mad > LIMIT,
  }));
}
