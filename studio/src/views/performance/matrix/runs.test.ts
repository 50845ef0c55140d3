import { expect, it } from "vitest";
import { baseline, series } from "@/views/performance/fixtures";
import { groupRuns, phaseMedians } from "@/views/performance/matrix/runs";

it("takes a group's runs out of its history", () => {
  const group = baseline({
    runs: ["job_0", "job_2"],
    outliers: { total: ["job_2"] },
    left_out: [{ id: "job_1", at: "2026-01-02", reasons: ["throttled"] }],
  });
  expect(groupRuns(series(), group)).toMatchObject([
    { id: "job_0", seconds: 10, leftOut: [], isOutlier: false },
    { id: "job_1", leftOut: ["throttled"] },
    { id: "job_2", isOutlier: true },
  ]);
  expect(groupRuns(undefined, group)).toEqual([]);
});

it("counts only phases as phases, without the queue", () => {
  expect(phaseMedians(baseline())).toEqual({ denoise: 8, decode: 2 });
});
