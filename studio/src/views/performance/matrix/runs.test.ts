import { expect, it } from "vitest";
import { baseline, series } from "@/views/performance/fixtures";
import { groupRuns, phaseMeans } from "@/views/performance/matrix/runs";

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
  const all = baseline({ n: 10 });
  expect(phaseMeans(all)).toEqual({ denoise: 8, decode: 2 });
});

it("spreads a phase that few runs have over all of them", () => {
  const { measures } = baseline();
  const load = { ...measures.decode, n: 1, median: 30, mean: 30 } as never;
  const phases = phaseMeans({ measures: { ...measures, "enhance.load": load }, n: 10 });
  expect(phases).toEqual({ denoise: 8, decode: 2, "enhance.load": 3 });
});
