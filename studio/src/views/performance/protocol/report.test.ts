import { describe, expect, it } from "vitest";
import type { MatrixRow } from "@/views/performance/queries";
import { type CaseVerdict, compareGroups, estimate_s, type Group, verdictOf } from "./report";

const group = (name: string, median: number): Group =>
  ({ case: name, state: "resident", measures: { total: { median } } }) as unknown as Group;

describe("compareGroups", () => {
  it("puts cases of both runs side by side", () => {
    const rows = compareGroups([group("a", 2), group("b", 4)], [group("a", 3), group("c", 1)]);
    expect(
      rows.map((row) => [row.case, row.before?.median, row.after?.median, row.change]),
    ).toEqual([
      ["a", 2, 3, 0.5],
      ["b", 4, undefined, null],
      ["c", undefined, 1, null],
    ]);
  });
});

it("gives each group its own verdict, also where two are of one case", () => {
  const verdict = (name: string, text: string) => ({ case: "a", group: name, text }) as CaseVerdict;
  const verdicts = [verdict("g-cold", "slower"), verdict("g-resident", "faster")];
  expect(verdictOf(verdicts, { group: "g-resident" })?.text).toBe("faster");
  expect(verdictOf(verdicts, { group: "g-warm" })).toBeUndefined();
});

describe("estimate_s", () => {
  const row = (job_type: string, expected_s: number | null): MatrixRow =>
    ({ job_type, preset: "baseline", expected_s, real_s: null }) as MatrixRow;

  it("counts each run and one to warm up", () => {
    expect(estimate_s("quick", ["a", "b"], [row("a", 2), row("a", 3), row("b", 1)])).toBe(16);
  });

  it("says nothing where a job type is not known", () => {
    expect(estimate_s("quick", ["a", "b"], [row("a", 2), row("b", null)])).toBeNull();
  });
});
