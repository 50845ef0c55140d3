import { describe, expect, it } from "vitest";
import type { Schemas } from "@/api/client";
import { EMPTY } from "@/stores/draft";
import { baseOf, countOf, estimateOf, pointsOf, samplesOf, thinned } from "@/views/grid/logic/plan";

const axes = [
  { name: "num_inference_steps", values: [4, 8] },
  { name: "scheduler", values: ["euler", "unipc"] },
  { name: "seed", values: [1, 2, 3] },
];
const draft = {
  ...EMPTY,
  prompt: "a circle",
  job_type: "video_fast",
  preset: "balanced",
  seed: 7,
  values: { num_inference_steps: 20, width: 96 },
};

describe("the jobs of a grid", () => {
  it("are all combinations, the last axis fastest", () => {
    expect(countOf(axes)).toBe(12);
    const points = pointsOf(axes);
    expect(points).toHaveLength(12);
    expect(points[0]).toEqual({ num_inference_steps: 4, scheduler: "euler", seed: 1 });
    expect(points[1]).toMatchObject({ seed: 2 });
  });

  it("keep what the axes don't vary", () => {
    expect(baseOf(draft, axes, "video_fast")).toEqual({
      prompt: "a circle",
      job_type: "video_fast",
      preset: "balanced",
      seed: 7,
      width: 96,
    });
  });

  it("let presets and job types show their own values", () => {
    const presets = [{ name: "preset", values: ["baseline", "quality"] }];
    expect(baseOf(draft, presets, "video_fast")).not.toHaveProperty("width");
    const types = [{ name: "job_type", values: ["video_fast", "video_high"] }];
    expect(baseOf(draft, types, "video_fast")).toMatchObject({ preset: "baseline" });
  });
});

const expected = (total_s: number, load_s = 0): Schemas["ExpectedTime"] => ({
  total_s,
  low_s: total_s / 2,
  high_s: total_s * 2,
  phases_s: { "load.unet": load_s, denoise: total_s - load_s },
  state: load_s > 0 ? "cold" : "resident",
  num_records: 9,
  basis: "history",
});

describe("the expected time", () => {
  const samples = samplesOf(baseOf(draft, axes, "video_fast"), axes);

  it("is asked for once for jobs that take equally long", () => {
    expect(samples).toHaveLength(2);
    expect(samples.map((sample) => sample.count)).toEqual([6, 6]);
  });

  it("is asked for a few of many, which stand for all", () => {
    const many = samplesOf(baseOf(draft, [], "video_fast"), [
      { name: "num_inference_steps", values: Array.from({ length: 40 }, (_, at) => at + 1) },
    ]);
    const few = thinned(many, 5);
    expect(few.map((sample) => sample.request.num_inference_steps)).toEqual([1, 11, 21, 30, 40]);
    expect(few.reduce((sum, sample) => sum + sample.count, 0)).toBeCloseTo(40);
  });

  it("adds up, and is shared by workers", () => {
    const answers = samples.map((sample) => ({ sample, expected: expected(2) }));
    expect(estimateOf(answers, 1)).toEqual({ total_s: 24, low_s: 12, high_s: 48, isRough: false });
    expect(estimateOf(answers, 2)?.total_s).toBe(12);
  });

  it("counts loading once", () => {
    const answers = samples.map((sample) => ({ sample, expected: expected(10, 8) }));
    expect(estimateOf(answers, 1)?.total_s).toBeCloseTo(10 + 11 * 2);
  });

  it("says when it does not know", () => {
    expect(estimateOf([], 1)).toBeNull();
    const [sample] = samples;
    if (sample) expect(estimateOf([{ sample, expected: null }], 1)).toBeNull();
  });
});
