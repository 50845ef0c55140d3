// How long jobs waited and how many ended, in windows of a period. Pure, tested in waits.test.ts.
import type { Job } from "@/api/client";
import type { RecordBrief } from "./queries";

export const PERIODS = {
  hour: { span_s: 3600, window_s: 300 },
  day: { span_s: 86_400, window_s: 3600 },
  week: { span_s: 7 * 86_400, window_s: 6 * 3600 },
  month: { span_s: 30 * 86_400, window_s: 86_400 },
} as const;

export type Period = keyof typeof PERIODS;

export const isPeriod = (value: string | null): value is Period =>
  value !== null && value in PERIODS;

/** p90 needs ten values: fewer would pretend. */
export const LEAST_FOR_P90 = 10;

export interface Window {
  key: string;
  from_s: number;
  to_s: number;
}

/** Windows of equal length that end now, oldest first: none of them is cut short. */
export function windowsOf(period: Period, now_s: number): Window[] {
  const { span_s, window_s } = PERIODS[period];
  const count = Math.round(span_s / window_s);
  return Array.from({ length: count }, (_, index) => {
    const to_s = now_s - (count - 1 - index) * window_s;
    return { key: String(index), from_s: to_s - window_s, to_s };
  });
}

/** Linear between the two nearest, as the service's own figures; null without values. */
export function quantile(values: readonly number[], share: number): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const low = Math.floor(at);
  const [a, b] = [sorted[low] ?? 0, sorted[Math.min(low + 1, sorted.length - 1)] ?? 0];
  return a + (b - a) * (at - low);
}

export const p90 = (values: readonly number[]): number | null =>
  values.length < LEAST_FOR_P90 ? null : quantile(values, 0.9);

/** A job that began, and how long it had waited by then. */
export interface Start {
  job_type: string;
  at_s: number;
  wait_s: number;
}

/** Of jobs that ended, however long ago they were submitted, and of those that run now. */
export function startsOf(
  records: readonly RecordBrief[],
  running: readonly Pick<Job, "id" | "job_type" | "created_unix_s" | "run_at" | "started_unix_s">[],
): Start[] {
  const ended = new Set(records.map((each) => each.job_id));
  const before = records.flatMap(({ at, job_type, total_s, queue_wait_s }) =>
    total_s === null || queue_wait_s === null
      ? []
      : [{ job_type, at_s: Date.parse(at) / 1000 - total_s + queue_wait_s, wait_s: queue_wait_s }],
  );
  const now = running.flatMap((job) => {
    if (job.started_unix_s == null || ended.has(job.id)) return [];
    const due_s = Date.parse(job.run_at) / 1000;
    const from_s = Math.max(Number.isFinite(due_s) ? due_s : 0, job.created_unix_s);
    const wait_s = Math.max(0, job.started_unix_s - from_s);
    return [{ job_type: job.job_type, at_s: job.started_unix_s, wait_s }];
  });
  return [...before, ...now];
}

export interface WaitWindow extends Window {
  n: number;
  median_s: number | null;
  p90_s: number | null;
}

/** Waits by the moment at which they ended. */
export function waitsIn(windows: readonly Window[], starts: readonly Start[]): WaitWindow[] {
  return windows.map((window) => {
    const waits = starts.filter((each) => isWithin(each.at_s, window)).map((each) => each.wait_s);
    return { ...window, n: waits.length, median_s: quantile(waits, 0.5), p90_s: p90(waits) };
  });
}

export interface RateWindow extends Window {
  n: number;
  perHour: number;
  byType: Record<string, number>;
}

/** Jobs that succeeded, by the moment at which they ended. */
export function ratesIn(windows: readonly Window[], records: readonly RecordBrief[]): RateWindow[] {
  const ended = records
    .filter((each) => each.is_success)
    .map((each) => ({ at_s: Date.parse(each.at) / 1000, job_type: each.job_type }));
  return windows.map((window) => {
    const byType: Record<string, number> = {};
    let n = 0;
    for (const { at_s, job_type } of ended) {
      if (!isWithin(at_s, window)) continue;
      n += 1;
      byType[job_type] = (byType[job_type] ?? 0) + 1;
    }
    return { ...window, n, byType, perHour: (n * 3600) / (window.to_s - window.from_s) };
  });
}

export interface TypeRow {
  job_type: string;
  done: number;
  failed: number;
  perHour: number;
  courses: number[];
  num_waits: number;
  median_wait_s: number | null;
  p90_wait_s: number | null;
  median_run_s: number | null;
}

/** The period by job type, the busiest first. */
export function typeRows(
  rates: readonly RateWindow[],
  records: readonly RecordBrief[],
  starts: readonly Start[],
): TypeRow[] {
  const [from_s, to_s] = [rates[0]?.from_s ?? 0, rates.at(-1)?.to_s ?? 3600];
  const hours = (to_s - from_s) / 3600;
  const begun = starts.filter((each) => isWithin(each.at_s, { from_s, to_s }));
  const names = new Set([
    ...records.map((each) => each.job_type),
    ...begun.map((each) => each.job_type),
  ]);
  return [...names]
    .map((job_type) => {
      const own = records.filter((each) => each.job_type === job_type);
      const good = own.filter((each) => each.is_success);
      const waits = begun.filter((each) => each.job_type === job_type).map((each) => each.wait_s);
      const runs = good.map((each) => each.run_s).filter((seconds) => seconds !== null);
      return {
        job_type,
        done: good.length,
        failed: own.length - good.length,
        perHour: good.length / hours,
        courses: rates.map((window) => window.byType[job_type] ?? 0),
        num_waits: waits.length,
        median_wait_s: quantile(waits, 0.5),
        p90_wait_s: p90(waits),
        median_run_s: quantile(runs, 0.5),
      };
    })
    .sort((a, b) => b.done - a.done || a.job_type.localeCompare(b.job_type));
}

function isWithin(at_s: number, { from_s, to_s }: Omit<Window, "key">): boolean {
  return at_s > from_s && at_s <= to_s;
}
