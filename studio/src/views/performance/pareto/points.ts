// Settings of a job type with their speed and their quality. Pure, tested in points.test.ts.
import { title } from "@/lib/format";
import { wilson } from "../health/success";
import type { Group } from "../protocol/report";
import { type MatrixRow, type RatingGroup, SETTINGS } from "./queries";

export interface Estimate {
  value: number;
  low: number | null;
  high: number | null;
  n: number;
}

export interface Point {
  id: string;
  row: MatrixRow;
  name: string;
  seconds: Estimate;
  /** null: nobody has measured it. */
  stars: Estimate | null;
  follows: Estimate | null;
}

type Values = Record<string, unknown>;
const keyOf = (values: Values): string =>
  JSON.stringify(SETTINGS.map((name) => values[name] ?? null));

const STATES = ["resident", "warm", "cold"];
const rank = ({ state }: MatrixRow): number => {
  const index = STATES.indexOf(state ?? "");
  return index < 0 ? STATES.length : index;
};

/** For each setting the row that compares best: models resident, then most runs. */
export function chosenRows(rows: readonly MatrixRow[]): MatrixRow[] {
  const best = new Map<string, MatrixRow>();
  for (const row of rows) {
    if (row.real_s === null || row.group === null) continue;
    const known = best.get(keyOf(row.settings));
    if (!known || rank(row) < rank(known) || (rank(row) === rank(known) && row.n > known.n))
      best.set(keyOf(row.settings), row);
  }
  return [...best.values()];
}

const T95 = [0, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];

/** Mean of stars with its 95 % interval after Student, from three ratings on. */
export function starEstimate(stars: Record<string, number>): Estimate | null {
  const counts = Object.entries(stars).map(([star, count]) => [Number(star), count] as const);
  const n = counts.reduce((sum, [, count]) => sum + count, 0);
  if (n === 0) return null;
  const value = counts.reduce((sum, [star, count]) => sum + star * count, 0) / n;
  if (n < 3) return { value, low: null, high: null, n };
  const squares = counts.reduce((sum, [star, count]) => sum + count * (star - value) ** 2, 0);
  const half = ((T95[n - 1] ?? 1.96) * Math.sqrt(squares / (n - 1))) / Math.sqrt(n);
  return { value, low: Math.max(1, value - half), high: Math.min(5, value + half), n };
}

function followsOf(groups: readonly Group[], row: MatrixRow): Estimate | null {
  let [hits, n] = [0, 0];
  for (const group of groups) {
    if (group.job_type !== row.job_type) continue;
    const values = (group as Group & { workload?: Values }).workload;
    if (!values || keyOf(values) !== keyOf(row.settings)) continue;
    const judged = group.quality.prompts_judged ?? 0;
    hits += judged * (group.quality.follows_prompt ?? 0);
    n += judged;
  }
  const share = wilson(Math.round(hits), n);
  return share && { value: share.share, low: share.low, high: share.high, n };
}

/** The preset, and what else tells it from others of the same preset. */
export function namesOf(
  rows: readonly MatrixRow[],
  words: (name: string, value: unknown) => string,
): string[] {
  return rows.map((row) => {
    const same = rows.filter((each) => each.preset === row.preset);
    const telling = SETTINGS.filter(
      (name) =>
        name !== "preset" && new Set(same.map((each) => each.settings[name] ?? null)).size > 1,
    );
    return [title(row.preset), ...telling.map((name) => words(name, row.settings[name]))].join(
      ", ",
    );
  });
}

export function pointsOf(
  rows: readonly MatrixRow[],
  ratings: readonly RatingGroup[],
  judged: readonly Group[],
  words: (name: string, value: unknown) => string,
): Point[] {
  const chosen = chosenRows(rows);
  const names = namesOf(chosen, words);
  const stars = new Map(ratings.map((group) => [keyOf(group.group), group.stars]));
  return chosen.map((row, index) => ({
    id: row.group ?? String(index),
    row,
    name: names[index] ?? row.preset,
    seconds: {
      value: row.real_s ?? 0,
      low: row.interval?.low ?? null,
      high: row.interval?.high ?? null,
      n: row.n,
    },
    stars: starEstimate((stars.get(keyOf(row.settings)) ?? {}) as Record<string, number>),
    follows: followsOf(judged, row),
  }));
}
