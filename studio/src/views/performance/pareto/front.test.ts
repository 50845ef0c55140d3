import { describe, expect, it } from "vitest";
import { type Anchor, type Choice, paretoFront, placeLabels } from "./front";

const choice = (id: string, seconds: number, quality: number): Choice => ({ id, seconds, quality });

describe("paretoFront", () => {
  it("keeps what nothing beats, fastest first", () => {
    const front = paretoFront([
      choice("slow and best", 9, 5),
      choice("beaten", 8, 3),
      choice("fast", 2, 3),
      choice("middle", 5, 4),
      choice("slower than middle", 6, 4),
    ]);
    expect(front.map(({ id }) => id)).toEqual(["fast", "middle", "slow and best"]);
  });

  it("keeps equals and one alone", () => {
    expect(paretoFront([choice("a", 1, 1), choice("b", 1, 1)])).toHaveLength(2);
    expect(paretoFront([choice("a", 1, 1)])).toHaveLength(1);
    expect(paretoFront([])).toEqual([]);
  });
});

describe("placeLabels", () => {
  const frame = { x: 0, y: 0, width: 400, height: 200 };
  const width = (text: string) => text.length * 7;
  const anchor = (id: string, x: number, y: number, rank = 0): Anchor => ({
    id,
    x,
    y,
    text: `label ${id}`,
    rank,
  });

  it("stands above, or to the left at the edge", () => {
    const labels = placeLabels([anchor("a", 50, 50), anchor("b", 380, 100)], frame, width);
    expect(labels.map(({ align }) => align)).toEqual(["middle", "end"]);
  });

  it("never lets names overlap each other or a point", () => {
    const anchors = [0, 1, 2, 3, 4, 5].map((n) => anchor(String(n), 200 + 6 * n, 100 + 4 * n, n));
    const labels = placeLabels(anchors, frame, width);
    expect(labels.length).toBeGreaterThan(1);
    for (const a of labels)
      for (const b of labels)
        if (a.id !== b.id) {
          const apart =
            a.box.x + a.box.width <= b.box.x ||
            b.box.x + b.box.width <= a.box.x ||
            a.box.y + a.box.height <= b.box.y ||
            b.box.y + b.box.height <= a.box.y;
          expect(apart).toBe(true);
        }
  });

  it("gives what matters its name first", () => {
    const labels = placeLabels(
      [anchor("late", 200, 100, 2), anchor("first", 201, 100, 0)],
      frame,
      width,
    );
    expect(labels[0]?.id).toBe("first");
  });

  it("leaves out what has no room", () => {
    expect(placeLabels([anchor("a", 5, 5)], { ...frame, width: 20 }, width)).toEqual([]);
  });
});
