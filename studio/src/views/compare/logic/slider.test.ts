import { describe, expect, it } from "vitest";
import { slidBy, slidTo } from "@/views/compare/logic/slider";
import { FIT, MOST_ZOOM, panned, transformOf, zoomedAt } from "@/views/compare/logic/zoom";

describe("the divider's keys", () => {
  it.each([
    ["ArrowLeft", 48],
    ["ArrowDown", 48],
    ["ArrowRight", 52],
    ["ArrowUp", 52],
    ["PageUp", 60],
    ["PageDown", 40],
    ["Home", 0],
    ["End", 100],
  ])("%s moves it from 50 to %i", (key, expected) => {
    expect(slidBy(50, key)).toBe(expected);
  });

  it("goes further with Shift, stays inside and leaves other keys alone", () => {
    expect(slidBy(50, "ArrowLeft", true)).toBe(40);
    expect(slidBy(1, "ArrowLeft")).toBe(0);
    expect(slidBy(99, "PageUp")).toBe(100);
    expect(slidBy(50, "Enter")).toBeNull();
  });
});

describe("the divider's pointer", () => {
  it("follows it inside the picture", () => {
    expect(slidTo(150, 100, 200)).toBe(25);
    expect(slidTo(50, 100, 200)).toBe(0);
    expect(slidTo(900, 100, 200)).toBe(100);
    expect(slidTo(900, 100, 0)).toBe(50);
  });
});

describe("zoom", () => {
  it("keeps the point under the pointer in its place", () => {
    const view = zoomedAt(FIT, 2, 0.25, 0.75);
    expect((0.25 - view.x) / view.scale).toBeCloseTo(0.25);
    expect((0.75 - view.y) / view.scale).toBeCloseTo(0.75);
  });

  it("never leaves the picture, and comes back to the fit", () => {
    expect(panned(zoomedAt(FIT, 2), 5, -5)).toEqual({ scale: 2, x: 0, y: -1 });
    expect(zoomedAt(zoomedAt(FIT, 4, 0.9, 0.1), 0.01)).toEqual(FIT);
    expect(zoomedAt(FIT, 1000).scale).toBe(MOST_ZOOM);
    expect(transformOf(FIT)).toBe("translate(0%, 0%) scale(1)");
  });
});
