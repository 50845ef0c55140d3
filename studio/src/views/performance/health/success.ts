// Success by job type, with Wilson's interval, as the service counts it. Pure, tested in
// success.test.ts.
import type { RecordBrief } from "../throughput/queries";

export interface Share {
  successes: number;
  n: number;
  share: number;
  low: number;
  high: number;
}

/** Flags of a job made from the person's own prompt: it fails nothing, and is no success. */
const UNUSABLE_ENHANCEMENT: ReadonlySet<string> = new Set([
  "enhancement_refused",
  "enhancement_failed",
]);

const Z95 = 1.959963984540054;

/** The 95 % interval of a share after Wilson: right for few jobs and near 0 or 1. */
export function wilson(successes: number, n: number): Share | null {
  if (n === 0) return null;
  const share = successes / n;
  const z2 = Z95 * Z95;
  const middle = (share + z2 / (2 * n)) / (1 + z2 / n);
  const half = (Z95 * Math.sqrt((share * (1 - share)) / n + z2 / (4 * n * n))) / (1 + z2 / n);
  return {
    successes,
    n,
    share,
    low: Math.max(0, middle - half),
    high: Math.min(1, middle + half),
  };
}

export interface SuccessRow {
  job_type: string;
  success: Share | null;
  /** Left out of baselines, whether they succeeded or not. */
  num_flagged: number;
}

/** Each job type of the catalogue; those without a job have no share. */
export function successRows(
  job_types: readonly string[],
  records: readonly RecordBrief[],
): SuccessRow[] {
  const names = [...new Set([...job_types, ...records.map((each) => each.job_type)])];
  return names.map((job_type) => {
    const own = records.filter((each) => each.job_type === job_type);
    return {
      job_type,
      success: overall(own),
      num_flagged: own.filter((each) => each.flags.length > 0).length,
    };
  });
}

/** The share of clean successes. Cancelled is a person's wish and counts for neither side. */
export function overall(records: readonly RecordBrief[]): Share | null {
  const ended = records.filter((each) => each.failure !== "cancelled");
  return wilson(ended.filter(isCleanSuccess).length, ended.length);
}

function isCleanSuccess(record: RecordBrief): boolean {
  return record.is_success && !record.flags.some((flag) => UNUSABLE_ENHANCEMENT.has(flag));
}
