import { describe, expect, it } from "vitest";
import { layoutFor, moveBy } from "@/views/library/layout";

describe("layoutFor", () => {
  it("fills the width with columns, from phones to wide screens", () => {
    expect(layoutFor(328).columns).toBe(2);
    expect(layoutFor(720).columns).toBe(2);
    expect(layoutFor(1072).columns).toBe(4);
    expect(layoutFor(1656).columns).toBe(6);
    for (const width of [328, 519, 520, 900, 1656]) {
      const { columns, gap, cardWidth } = layoutFor(width);
      expect(columns * cardWidth + (columns - 1) * gap).toBeCloseTo(width);
    }
  });

  it("is harmless before the width is known", () => {
    expect(layoutFor(0).cardWidth).toBe(0);
    expect(layoutFor(0).rowHeight).toBeGreaterThan(0);
  });
});

describe("moveBy", () => {
  // 0 1 2 3
  // 4 5 6 7
  // 8 9
  const grid = { columns: 4, count: 10, rowsInSight: 2 };
  it("moves along rows and columns, and stays inside", () => {
    expect(moveBy("ArrowRight", 3, grid)).toBe(4);
    expect(moveBy("ArrowLeft", 0, grid)).toBe(0);
    expect(moveBy("ArrowRight", 9, grid)).toBe(9);
    expect(moveBy("ArrowDown", 1, grid)).toBe(5);
    expect(moveBy("ArrowUp", 1, grid)).toBe(1);
  });

  it("ends at the last entry where the row below is shorter", () => {
    expect(moveBy("ArrowDown", 7, grid)).toBe(9);
    expect(moveBy("ArrowDown", 8, grid)).toBe(8);
  });

  it("pages and jumps", () => {
    expect(moveBy("PageDown", 1, grid)).toBe(9);
    expect(moveBy("PageUp", 9, grid)).toBe(1);
    expect(moveBy("PageUp", 5, grid)).toBe(1);
    expect(moveBy("Home", 7, grid)).toBe(0);
    expect(moveBy("End", 1, grid)).toBe(9);
  });

  it("leaves other keys alone", () => {
    expect(moveBy("a", 3, grid)).toBeNull();
    expect(moveBy("End", 0, { ...grid, count: 0 })).toBeNull();
  });
});
