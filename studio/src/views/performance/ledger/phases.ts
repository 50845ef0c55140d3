// The phases of a job beside its baseline, and what differs between two. Pure, tested beside it.
import { orderedPhases, type PhasePart } from "@/lib/phases";
import type { JobPerformance, Score } from "./queries";

export interface PhaseRow {
  phase: string;
  seconds: number;
  share: number;
  expected_s: number | null;
  score: Score["score"];
  low_s: number | null;
  high_s: number | null;
}

/** The record's phases, with the time that other jobs' turns took: together they are the total. */
export function partsOf({
  phases_s,
  shared_s,
}: Pick<JobPerformance["record"], "phases_s" | "shared_s">): PhasePart[] {
  return orderedPhases({ ...phases_s, shared: shared_s });
}

/** Each phase with its share of the whole, the baseline's median, and its score. */
export function phaseRows({ record, baseline, score }: JobPerformance): PhaseRow[] {
  const parts = partsOf(record);
  const whole = record.total_s ?? parts.reduce((sum, part) => sum + part.seconds, 0);
  const scores = new Map(score.measures.map((each) => [each.measure, each]));
  return parts.map(({ phase, seconds }) => {
    const own = scores.get(phase);
    return {
      phase,
      seconds,
      share: whole > 0 ? seconds / whole : 0,
      expected_s: baseline && baseline.n > 1 ? (baseline.measures[phase]?.median ?? null) : null,
      score: own?.score ?? null,
      low_s: own?.interval?.low ?? null,
      high_s: own?.interval?.high ?? null,
    };
  });
}

export interface Fact {
  /** Where it stands: "software.torch". */
  path: string;
  value: string;
}

const told = (value: unknown): string =>
  value === null || value === undefined
    ? "–"
    : Array.isArray(value)
      ? value.map(told).join(", ") || "–"
      : String(value);

/** A nested object as a list of paths with their values. */
export function flattened(values: Record<string, unknown>, before = ""): Fact[] {
  return Object.entries(values).flatMap(([name, value]) => {
    const path = before ? `${before}.${name}` : name;
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? flattened(value as Record<string, unknown>, path)
      : [{ path, value: told(value) }];
  });
}

export interface Difference {
  path: string;
  before: string;
  after: string;
}

/** What differs between two nested objects. */
export function differences(
  before: Record<string, unknown>,
  after: Record<string, unknown>,
): Difference[] {
  const a = new Map(flattened(before).map(({ path, value }) => [path, value]));
  const b = new Map(flattened(after).map(({ path, value }) => [path, value]));
  return [...new Set([...a.keys(), ...b.keys()])]
    .map((path) => ({ path, before: a.get(path) ?? "–", after: b.get(path) ?? "–" }))
    .filter((each) => each.before !== each.after);
}
