import { expect, it } from "vitest";
import { type DepthSample, MOST_SAMPLES, pushed } from "./depth";

const sample = (at_s: number): DepthSample => ({ at_s, waiting: at_s, running: 0 });

it("keeps the newest samples", () => {
  let samples: DepthSample[] = [];
  for (let at = 0; at < MOST_SAMPLES + 5; at += 1) samples = pushed(samples, sample(at));
  expect(samples).toHaveLength(MOST_SAMPLES);
  expect(samples[0]?.at_s).toBe(5);
});

it("replaces a sample of the same moment", () => {
  expect(pushed([sample(1), sample(2)], { ...sample(2), running: 3 })).toEqual([
    sample(1),
    { at_s: 2, waiting: 2, running: 3 },
  ]);
});
