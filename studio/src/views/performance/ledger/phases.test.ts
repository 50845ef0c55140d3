import { expect, it } from "vitest";
import { differences, flattened, phaseRows } from "./phases";
import type { JobPerformance } from "./queries";

it("puts each phase beside its baseline", () => {
  const rows = phaseRows({
    record: { total_s: 10, shared_s: 0, phases_s: { decode: 2, denoise: 8, save: 0 } },
    baseline: { n: 3, measures: { denoise: { median: 7 } } },
    score: {
      measures: [{ measure: "denoise", score: "slow", interval: { low: 6, high: 7.5 }, value: 8 }],
    },
  } as unknown as JobPerformance);
  expect(rows).toEqual([
    {
      phase: "denoise",
      seconds: 8,
      share: 0.8,
      expected_s: 7,
      score: "slow",
      low_s: 6,
      high_s: 7.5,
    },
    {
      phase: "decode",
      seconds: 2,
      share: 0.2,
      expected_s: null,
      score: null,
      low_s: null,
      high_s: null,
    },
  ]);
});

it("accounts for the turns of other jobs, so that shares reach the whole", () => {
  const rows = phaseRows({
    record: { total_s: 10, shared_s: 4, phases_s: { queue_wait: 1, denoise: 5 } },
    baseline: null,
    score: { measures: [] },
  } as unknown as JobPerformance);
  expect(rows.map((row) => [row.phase, row.share])).toEqual([
    ["queue_wait", 0.1],
    ["denoise", 0.5],
    ["shared", 0.4],
  ]);
});

it("expects nothing of a baseline that is this job alone", () => {
  const [row] = phaseRows({
    record: { total_s: 8, phases_s: { denoise: 8 } },
    baseline: { n: 1, measures: { denoise: { median: 8 } } },
    score: { measures: [] },
  } as unknown as JobPerformance);
  expect(row?.expected_s).toBeNull();
});

it("flattens environments and tells what differs", () => {
  expect(flattened({ a: { b: 1, c: ["x", "y"], d: [] }, e: null })).toEqual([
    { path: "a.b", value: "1" },
    { path: "a.c", value: "x, y" },
    { path: "a.d", value: "–" },
    { path: "e", value: "–" },
  ]);
  expect(differences({ a: 1, b: { c: 2 } }, { a: 1, b: { c: 3, d: 4 } })).toEqual([
    { path: "b.c", before: "2", after: "3" },
    { path: "b.d", before: "–", after: "4" },
  ]);
});
