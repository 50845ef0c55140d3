// Order and choice of the matrix's rows. Pure, tested in sorting.test.ts.
import type { MatrixRow } from "@/views/performance/queries";

export const SORTS = [
  "job_type",
  "status",
  "state",
  "real",
  "expected",
  "cv",
  "quality",
  "n",
  "trend",
] as const;

export type SortKey = (typeof SORTS)[number];
export type Direction = "asc" | "desc";

export interface Sort {
  key: SortKey;
  direction: Direction;
}

export interface MatrixFilter {
  job_type?: string;
  state?: string;
  status?: string;
}

const STATUS = ["pending", "in_progress", "established", "optimised"];
const STATE = ["cold", "warm", "resident"];

type Value = string | number | null;

const VALUES: Record<SortKey, (row: MatrixRow) => Value> = {
  job_type: (row) => `${row.job_type} ${row.preset}`,
  status: (row) => STATUS.indexOf(row.status),
  state: (row) => (row.state == null ? null : STATE.indexOf(row.state)),
  real: (row) => row.real_s,
  expected: (row) => row.variance,
  cv: (row) => row.cv,
  quality: (row) => row.quality,
  n: (row) => row.n,
  trend: (row) => row.trend_shift,
};

/** What most people want first: the largest deviation, the newest trouble; names from A. */
export const firstDirection = (key: SortKey): Direction =>
  key === "job_type" || key === "state" ? "asc" : "desc";

/** Rows in order; those without a value last, whichever way. No sort: as the service lists them. */
export function sortedRows(rows: readonly MatrixRow[], sort: Sort | null): MatrixRow[] {
  if (!sort) return [...rows];
  const value = VALUES[sort.key];
  const sign = sort.direction === "asc" ? 1 : -1;
  return [...rows].sort((a, b) => {
    const [left, right] = [value(a), value(b)];
    if (left == null || right == null)
      return left == null && right == null ? 0 : left == null ? 1 : -1;
    if (typeof left === "string" || typeof right === "string")
      return sign * String(left).localeCompare(String(right));
    return sign * (left - right);
  });
}

export function chosenRows(rows: readonly MatrixRow[], filter: MatrixFilter): MatrixRow[] {
  return rows.filter(
    (row) =>
      (!filter.job_type || row.job_type === filter.job_type) &&
      (!filter.state || row.state === filter.state) &&
      (!filter.status || row.status === filter.status),
  );
}

/** "real" and "-real" in an address. */
export function readSort(text: string | null): Sort | null {
  if (!text) return null;
  const key = text.replace(/^-/, "") as SortKey;
  return SORTS.includes(key) ? { key, direction: text.startsWith("-") ? "desc" : "asc" } : null;
}

export const writeSort = (sort: Sort | null): string | null =>
  sort && `${sort.direction === "desc" ? "-" : ""}${sort.key}`;

/** What a press on a heading does: first way, other way, none. */
export function nextSort(now: Sort | null, key: SortKey): Sort | null {
  const first = firstDirection(key);
  if (now?.key !== key) return { key, direction: first };
  return now.direction === first ? { key, direction: first === "asc" ? "desc" : "asc" } : null;
}

export const rowKey = (row: MatrixRow): string => row.group ?? `${row.job_type}/${row.preset}`;
