import { describe, expect, it } from "vitest";
import {
  digitsOf,
  domainOf,
  durationTicks,
  extent,
  jitter,
  linearScale,
  nearest,
  niceStep,
  thinned,
  tickDuration,
  ticks,
  timeTicks,
} from "@/charts/scale";

describe("linearScale", () => {
  it("maps both ways", () => {
    const x = linearScale([10, 20], [100, 300]);
    expect([x(10), x(15), x(20)]).toEqual([100, 200, 300]);
    expect(x.invert(200)).toBe(15);
  });

  it("puts a domain without extent in the middle", () => {
    expect(linearScale([5, 5], [0, 100])(5)).toBe(50);
  });

  it("goes downwards where the range does", () => {
    expect(linearScale([0, 1], [100, 0])(0.25)).toBe(75);
  });
});

describe("ticks", () => {
  it("are round and within the domain", () => {
    expect(ticks(0, 10, 5)).toEqual([0, 2, 4, 6, 8, 10]);
    expect(ticks(0.12, 0.34, 4)).toEqual([0.15, 0.2, 0.25, 0.3]);
    expect(ticks(-1, 1, 4)).toEqual([-1, -0.5, 0, 0.5, 1]);
  });

  it("are finite for a span that is none", () => {
    expect(niceStep(0, 5)).toBe(1);
    expect(niceStep(Number.NaN, 5)).toBe(1);
    expect(ticks(3, 3)).toEqual([3]);
  });

  it("of durations follow the clock above half a minute", () => {
    expect(durationTicks(0, 300, 5)).toEqual([0, 60, 120, 180, 240, 300]);
    expect(durationTicks(0, 45, 3)).toEqual([0, 15, 30, 45]);
    expect(durationTicks(0, 4, 4)).toEqual([0, 1, 2, 3, 4]);
  });

  it("never come in their thousands", () => {
    expect(durationTicks(0, 1e9, 4).length).toBeLessThan(20);
  });

  it("of moments lie on round local times", () => {
    const from = Date.parse("2026-01-05T08:03:00Z");
    const found = timeTicks(from, from + 3_600_000, 6);
    expect(found.length).toBeGreaterThan(2);
    for (const at of found) expect(new Date(at).getMinutes() % 15).toBe(0);
  });
});

describe("tickDuration", () => {
  it("has the digits that the step needs", () => {
    expect(tickDuration(0, 1)).toBe("0");
    expect(tickDuration(0.5, 0.5)).toBe("0.5 s");
    expect(tickDuration(0.002, 0.002)).toBe("2 ms");
    expect(tickDuration(20, 10)).toBe("20 s");
    expect(tickDuration(90, 30)).toBe("1 min 30 s");
    expect(tickDuration(7200, 3600)).toBe("2 h");
  });

  it("knows its decimal places", () => {
    expect([digitsOf(2), digitsOf(0.5), digitsOf(0.02)]).toEqual([0, 1, 2]);
  });
});

describe("domainOf", () => {
  it("leaves air and stays above zero", () => {
    const [low, high] = domainOf([10, 20]);
    expect(low).toBeLessThan(10);
    expect(high).toBeGreaterThan(20);
    expect(domainOf([0.1, 30])[0]).toBe(0);
  });

  it("begins at zero where bars must", () => {
    expect(domainOf([10, 20], { hasZero: true })[0]).toBe(0);
  });

  it("is never empty", () => {
    expect(domainOf([])).toEqual([0, 1]);
    const [low, high] = domainOf([7, 7]);
    expect(high).toBeGreaterThan(low);
    expect(domainOf([0, 0])[1]).toBeGreaterThan(0);
  });

  it("passes over what is not there", () => {
    expect(extent([null, 3, Number.NaN, undefined, 1])).toEqual([1, 3]);
    expect(extent([null])).toBeNull();
  });
});

describe("nearest", () => {
  it("finds the closest of an ascending list", () => {
    expect(nearest([0, 10, 20, 40], 12)).toBe(1);
    expect(nearest([0, 10, 20, 40], 31)).toBe(3);
    expect(nearest([0, 10], -5)).toBe(0);
    expect(nearest([4], 100)).toBe(0);
    expect(nearest([], 1)).toBe(-1);
  });
});

it("thins out labels that would touch", () => {
  expect(thinned([0, 30, 60, 70, 130], (x) => x, 50)).toEqual([0, 60, 130]);
});

it("always puts the same run at the same place", () => {
  expect(jitter("job_1")).toBe(jitter("job_1"));
  for (const name of ["a", "b", "job_01kdv"]) expect(Math.abs(jitter(name))).toBeLessThanOrEqual(1);
});
