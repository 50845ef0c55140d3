import { describe, expect, it } from "vitest";
import { markSteps, median, stepMedian } from "./steps";

describe("steps", () => {
  it("leaves the first two out of the median", () => {
    expect(stepMedian([9, 8, 1, 2, 3])).toBe(2);
    expect(stepMedian([4, 2])).toBe(3);
    expect(stepMedian([])).toBeNull();
    expect(median([1, 2, 3, 4])).toBe(2.5);
  });

  it("marks what stands out", () => {
    const steps = markSteps([2, 1.5, 1, 1.01, 0.99, 1.02, 1, 3, 0.98]);
    expect(steps.filter((step) => step.isOutlier).map((step) => step.number)).toEqual([1, 2, 8]);
    expect(steps.filter((step) => step.isFirst).map((step) => step.number)).toEqual([1, 2]);
  });

  it("marks nothing where all are equal or few", () => {
    expect(markSteps([1, 1, 1, 1, 1, 1]).some((step) => step.isOutlier)).toBe(false);
    expect(markSteps([1, 2]).some((step) => step.isOutlier || step.isFirst)).toBe(false);
  });
});
