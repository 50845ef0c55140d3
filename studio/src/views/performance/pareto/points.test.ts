import { describe, expect, it } from "vitest";
import type { Group } from "../protocol/report";
import { chosenRows, pointsOf, starEstimate } from "./points";
import type { MatrixRow, RatingGroup } from "./queries";

const row = (group: string, values: Partial<MatrixRow>, steps = 25): MatrixRow =>
  ({
    job_type: "video_fast",
    preset: "baseline",
    group,
    state: "resident",
    real_s: 5,
    n: 5,
    interval: null,
    settings: { preset: values.preset ?? "baseline", num_inference_steps: steps },
    ...values,
  }) as MatrixRow;

const words = (name: string, value: unknown) => `${name} ${value}`;

describe("chosenRows", () => {
  it("prefers resident models, then more runs", () => {
    const rows = [
      row("cold", { state: "cold", n: 20 }),
      row("few", { n: 3 }),
      row("many", { n: 8 }),
      row("never", { real_s: null }, 4),
    ];
    expect(chosenRows(rows).map(({ group }) => group)).toEqual(["many"]);
  });
});

describe("pointsOf", () => {
  it("joins speed, stars and prompts by their settings", () => {
    const rows = [row("a", {}), row("b", {}, 4), row("c", { preset: "balanced" })];
    const ratings = [
      {
        group: { preset: "baseline", num_inference_steps: 25 },
        stars: { 1: 0, 2: 0, 3: 0, 4: 1, 5: 1 },
      },
    ] as unknown as RatingGroup[];
    const judged = [
      {
        job_type: "video_fast",
        workload: { preset: "baseline", num_inference_steps: 4 },
        quality: { follows_prompt: 0.5, prompts_judged: 10 },
      },
    ] as unknown as Group[];
    const points = pointsOf(rows, ratings, judged, words);
    expect(points.map(({ name }) => name)).toEqual([
      "Baseline, num_inference_steps 25",
      "Baseline, num_inference_steps 4",
      "Balanced",
    ]);
    expect(points[0]?.stars?.value).toBe(4.5);
    expect(points[1]?.stars).toBeNull();
    expect(points[1]?.follows).toMatchObject({ value: 0.5, n: 10 });
    expect(points[2]?.follows).toBeNull();
  });
});

it("gives stars an interval from three ratings on", () => {
  expect(starEstimate({ 4: 1, 5: 1 })).toEqual({ value: 4.5, low: null, high: null, n: 2 });
  const found = starEstimate({ 3: 1, 4: 1, 5: 1 });
  expect(found?.value).toBe(4);
  expect(found?.low).toBeCloseTo(4 - 4.303 / Math.sqrt(3), 3);
  expect(found?.high).toBe(5);
  expect(starEstimate({})).toBeNull();
});
