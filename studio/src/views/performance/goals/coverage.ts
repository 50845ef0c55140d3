// How far the job types are measured, and figures of goals in words. Pure, tested beside it.
import type { Schemas } from "@/api/client";
import { bytes, duration, interval, number } from "@/lib/format";
import type { MatrixRow } from "@/views/performance/queries";

const STATUSES = ["optimised", "established", "in_progress", "pending"] as const;
export type Status = (typeof STATUSES)[number];

export interface Covered {
  job_type: string;
  status: Status;
  n: number;
}

/** Each job type with the best that one of its baselines has reached. */
export function coverageOf(rows: readonly MatrixRow[]): Covered[] {
  const found = new Map<string, Covered>();
  for (const { job_type, status, n } of rows) {
    const known = found.get(job_type);
    const isBetter =
      !known ||
      STATUSES.indexOf(status) < STATUSES.indexOf(known.status) ||
      (status === known.status && n > known.n);
    if (isBetter) found.set(job_type, { job_type, status, n });
  }
  return [...found.values()];
}

export const isEstablished = ({ status }: Covered): boolean =>
  status === "established" || status === "optimised";

type Measured = Schemas["Measured"];

/** A measure's value with its unit: "6.4 s", "93.8 %", "3 job types". */
export function measuredText(measured: Pick<Measured, "value" | "unit"> | null): string {
  if (!measured) return "–";
  const { value, unit } = measured;
  if (unit === "s") return duration(value);
  if (unit === "bytes") return bytes(value);
  const digits = Number.isInteger(value) ? 0 : 1;
  return `${number(value, digits)} ${value === 1 ? unit.replace(/s$/, "") : unit}`.trim();
}

export function intervalText(measured: Measured | null): string | null {
  const span = measured?.interval;
  if (!measured || !span) return null;
  if (measured.unit === "s") return interval(span.low, span.high);
  return `${number(span.low, 1)} – ${number(span.high, 1)} ${measured.unit}`;
}
