// Which groups of a job type are drawn, and their numbers as a table. Pure, tested in bars.test.ts.
import type { StackedBar } from "@/charts/stacked-bars";
import { orderedPhases } from "@/lib/phases";
import type { MatrixRow } from "@/views/performance/queries";

const STATES = ["cold", "warm", "resident"];
const MOST_BARS = 8;

/** Job types that ran, those with most runs first. */
export function jobTypesOf(rows: readonly MatrixRow[]): string[] {
  const runs = new Map<string, number>();
  for (const row of rows)
    if (row.group && row.n > 0) runs.set(row.job_type, (runs.get(row.job_type) ?? 0) + row.n);
  return [...runs].sort((a, b) => b[1] - a[1]).map(([name]) => name);
}

/** What is looked at first: a job type that became slower, or the one with most runs. */
export function firstJobType(rows: readonly MatrixRow[]): string | null {
  return rows.find((row) => row.trend === "slower")?.job_type ?? jobTypesOf(rows)[0] ?? null;
}

/** Its groups from cold to resident, within each those with most runs first. */
export function groupsOf(rows: readonly MatrixRow[], jobType: string): MatrixRow[] {
  return rows
    .filter((row) => row.job_type === jobType && row.group && row.n > 0)
    .sort((a, b) => b.n - a.n)
    .slice(0, MOST_BARS)
    .sort((a, b) => STATES.indexOf(a.state ?? "") - STATES.indexOf(b.state ?? "") || b.n - a.n);
}

export interface BarRow {
  key: string;
  name: string;
  phase: string;
  seconds: number;
  share: number;
}

export function barRows(bars: readonly StackedBar[]): BarRow[] {
  return bars.flatMap(({ key, name, phases_s }) => {
    const sum = Object.values(phases_s).reduce((a, b) => a + b, 0) || 1;
    return orderedPhases(phases_s).map(({ phase, seconds }) => ({
      key,
      name,
      phase,
      seconds,
      share: seconds / sum,
    }));
  });
}

export function largestPhase(phases_s: Record<string, number>): { phase: string; share: number } {
  const sum = Object.values(phases_s).reduce((a, b) => a + b, 0) || 1;
  const [phase, seconds] = Object.entries(phases_s).reduce(
    (most, each) => (each[1] > most[1] ? each : most),
    ["", 0],
  );
  return { phase, share: seconds / sum };
}
