// From the jobs of a batch to the cells of a matrix.

import type { Job } from "@/api/client";
import { SETTINGS } from "@/lib/settings";
import type { Axis, Value } from "@/views/grid/logic/parameters";
import type { Point } from "@/views/grid/logic/plan";

// What may have been varied where the jobs don't say it themselves.
const VARIED = ["job_type", "preset", "prompt", "negative_prompt", "seed", ...SETTINGS] as const;

const isValue = (value: unknown): value is Value =>
  typeof value === "string" || typeof value === "number";

/** Where a job stands: as the service noted it when the grid was made. */
export function notedPoint(job: Job): Point | null {
  const noted = job.metadata.grid;
  if (typeof noted !== "object" || noted === null || Array.isArray(noted)) return null;
  const entries = Object.entries(noted).filter((entry): entry is [string, Value] =>
    isValue(entry[1]),
  );
  return entries.length > 0 ? Object.fromEntries(entries) : null;
}

function settingOf(job: Job, name: string): Value | null {
  const value: unknown = job[name as keyof Job];
  return isValue(value) ? value : null;
}

/** A job's value on an axis: what was noted, else what it was resolved to. */
export function valueOn(job: Job, name: string): Value | null {
  return notedPoint(job)?.[name] ?? settingOf(job, name);
}

const ordered = (values: Iterable<Value>): Value[] => {
  const all = [...new Set(values)];
  return all.every((value) => typeof value === "number")
    ? (all as number[]).sort((a, b) => a - b)
    : all;
};

/** The axes of a batch, from its jobs alone. */
export function axesOf(jobs: readonly Job[]): Axis[] {
  const names = new Set<string>();
  for (const job of jobs) for (const name of Object.keys(notedPoint(job) ?? {})) names.add(name);
  const candidates = names.size > 0 ? [...names] : VARIED;
  const axes = candidates.map((name) => ({
    name,
    values: ordered(jobs.map((job) => valueOn(job, name)).filter((value) => value !== null)),
  }));
  return names.size > 0 ? axes : axes.filter((axis) => axis.values.length > 1);
}

/** Axes as they were made, with whatever values the jobs have besides. */
export function mergedAxes(kept: readonly Axis[] | null, found: readonly Axis[]): Axis[] {
  if (!kept) return [...found];
  const merged = kept.map((axis) => {
    const more = found.find((each) => each.name === axis.name)?.values ?? [];
    return { name: axis.name, values: [...new Set([...axis.values, ...more])] };
  });
  return [...merged, ...found.filter((axis) => !kept.some((each) => each.name === axis.name))];
}

export interface Layout {
  columns: Axis | null;
  rows: Axis | null;
  /** Everything that has no place in one matrix: one point for each page. */
  pages: Point[];
}

/** Columns are the first axis, rows the second, unless swapped; the others are pages. */
export function layoutOf(axes: readonly Axis[], isSwapped: boolean): Layout {
  const [first, second, ...rest] = axes;
  const pages = rest.reduce<Point[]>(
    (points, axis) =>
      points.flatMap((point) => axis.values.map((value) => ({ ...point, [axis.name]: value }))),
    [{}],
  );
  const [columns, rows] = isSwapped ? [second, first] : [first, second];
  return { columns: columns ?? null, rows: rows ?? null, pages };
}

export function cellKey(point: Point): string {
  return JSON.stringify(Object.entries(point).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The jobs by their place; where several have the same, the newest. */
export function cellsOf(jobs: readonly Job[], axes: readonly Axis[]): Map<string, Job> {
  const cells = new Map<string, Job>();
  for (const job of jobs) {
    const point: Point = {};
    for (const { name } of axes) {
      const value = valueOn(job, name);
      if (value !== null) point[name] = value;
    }
    const key = cellKey(point);
    const known = cells.get(key);
    if (!known || known.id < job.id) cells.set(key, job);
  }
  return cells;
}

export interface Tally {
  total: number;
  done: number;
  running: number;
  waiting: number;
  failed: number;
  cancelled: number;
  /** Seconds of work still to come, by what this grid's finished jobs took; null: none has ended. */
  left_s: number | null;
}

/** How long jobs took, against what was predicted for each of them. */
function paceOf(jobs: readonly Job[]): number | null {
  let [took_s, predicted_s] = [0, 0];
  for (const job of jobs) {
    if (job.state !== "succeeded" || job.started_unix_s === null || job.finished_unix_s === null)
      continue;
    took_s += job.finished_unix_s - job.started_unix_s;
    predicted_s += job.predicted_s;
  }
  return predicted_s > 0 && took_s > 0 ? took_s / predicted_s : null;
}

export function tallyOf(jobs: readonly Job[]): Tally {
  const count = (state: Job["state"]) => jobs.filter((job) => job.state === state).length;
  const pace = paceOf(jobs);
  const left_s = jobs.reduce((sum, job) => {
    if (job.state === "queued") return sum + job.predicted_s * (pace ?? 1);
    if (job.state === "running")
      return sum + (job.progress?.eta_s ?? job.predicted_s * (pace ?? 1));
    return sum;
  }, 0);
  return {
    total: jobs.length,
    done: count("succeeded"),
    running: count("running"),
    waiting: count("queued"),
    failed: count("failed"),
    cancelled: count("cancelled"),
    left_s: pace === null ? null : left_s,
  };
}
