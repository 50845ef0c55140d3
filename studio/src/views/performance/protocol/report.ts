// What is read of a run's report, whose parts the API leaves open. Pure, tested in report.test.ts.
import type { Schemas } from "@/api/client";
import type { MatrixRow } from "@/views/performance/queries";
import type { Report, Request } from "./queries";

type Summary = Schemas["Summary"];

export interface Check {
  name: string;
  level: "ok" | "warn" | "refuse";
  text: string;
  reason: string;
  hint: string;
}

export interface Group {
  case: string;
  /** Of comparable runs; one case has several where its state or its machine changed. */
  group: string;
  job_type: string;
  preset: string;
  state: string;
  n: number;
  runs: string[];
  left_out: { id: string; reasons: string[] }[];
  success: Schemas["SuccessShare"] | null;
  measures: Record<string, Summary>;
  shares: Record<string, number>;
  quality: Record<string, number>;
}

export interface CaseVerdict {
  case: string;
  group: string;
  outcome: string;
  text: string;
}

export interface Hint {
  rule: string;
  about: string;
  text: string;
}

export interface NextStep {
  command: string;
  why: string;
}

export interface Failure {
  case?: string;
  job_id?: string | null;
  error?: unknown;
  text?: string;
}

export interface ReadReport {
  checks: Check[];
  groups: Group[];
  verdicts: CaseVerdict[];
  hints: Hint[];
  next: NextStep[];
  failures: Failure[];
}

export function readReport(report: Report): ReadReport {
  return {
    checks: report.preflight as unknown as Check[],
    groups: report.groups as unknown as Group[],
    verdicts: report.verdicts as unknown as CaseVerdict[],
    hints: report.hints as unknown as Hint[],
    next: report.next as unknown as NextStep[],
    failures: report.failures as unknown as Failure[],
  };
}

/** What is said of this very group: cold and resident runs of one case are judged apart. */
export const verdictOf = (
  verdicts: readonly CaseVerdict[],
  { group }: Pick<Group, "group">,
): CaseVerdict | undefined => verdicts.find((each) => each.group === group);

export const REPEATS: Record<NonNullable<Request["suite"]>, number> = {
  quick: 3,
  standard: 7,
  full: 10,
};

/** How long a run may take, from what each job type takes; null where one is not known. */
export function estimate_s(
  suite: NonNullable<Request["suite"]>,
  job_types: readonly string[],
  rows: readonly MatrixRow[],
): number | null {
  let sum = 0;
  for (const job_type of job_types) {
    const known = rows
      .filter((row) => row.job_type === job_type && row.preset === "baseline")
      .map((row) => row.expected_s ?? row.real_s)
      .filter((seconds) => seconds !== null);
    if (known.length === 0) return null;
    sum += Math.max(...known) * (REPEATS[suite] + 1); // and one to warm up
  }
  return sum;
}

export interface ComparedCase {
  key: string;
  case: string;
  state: string;
  before: Summary | null;
  after: Summary | null;
  change: number | null;
}

/** Cases of two runs side by side: the median end to end. No verdict: that needs their runs. */
export function compareGroups(before: readonly Group[], after: readonly Group[]): ComparedCase[] {
  const keyOf = (group: Group) => `${group.case} ${group.state}`;
  const earlier = new Map(before.map((group) => [keyOf(group), group]));
  const later = new Map(after.map((group) => [keyOf(group), group]));
  return [...new Set([...earlier.keys(), ...later.keys()])].map((key) => {
    const [a, b] = [earlier.get(key), later.get(key)];
    const [from, to] = [a?.measures.total ?? null, b?.measures.total ?? null];
    return {
      key,
      case: (b ?? a)?.case ?? key,
      state: (b ?? a)?.state ?? "",
      before: from,
      after: to,
      change: from && to && from.median > 0 ? to.median / from.median - 1 : null,
    };
  });
}
