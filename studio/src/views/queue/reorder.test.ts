import { describe, expect, it } from "vitest";
import type { Job } from "@/api/client";
import { byPlace } from "@/api/merge";
import { indexOfSlot, placement, slotAt, withMoved } from "@/views/queue/reorder";

const job = (id: string, position: number, priority = 0): Job =>
  ({ id, position, priority }) as Job;

const QUEUE = [job("a", 1), job("b", 2), job("c", 3), job("d", 4)];
const BANDS = [job("high", 9, 5), job("x", 1), job("y", 2)];

/** The order that the guess gives. */
function guessed(order: Job[], id: string, index: number): string[] {
  const place = placement(order, id, index);
  return order
    .map((each) => (each.id === id && place ? { ...each, ...place } : each))
    .sort(byPlace)
    .map((each) => each.id);
}

describe("placement", () => {
  it("asks for the front at the top, and for a neighbour elsewhere", () => {
    expect(placement(QUEUE, "c", 0)?.to).toEqual({ front: true });
    expect(placement(QUEUE, "d", 1)?.to).toEqual({ before: "b" });
    expect(placement(QUEUE, "a", 3)?.to).toEqual({ after: "d" });
    expect(placement(QUEUE, "a", 2)?.to).toEqual({ before: "d" });
  });

  it("guesses the order that results, at every place", () => {
    for (const { id } of QUEUE)
      for (let index = 0; index < QUEUE.length; index += 1)
        expect(guessed(QUEUE, id, index)).toEqual(
          withMoved(QUEUE, id, index).map((each) => each.id),
        );
  });

  it("keeps a job in its band at the border of two", () => {
    expect(placement(BANDS, "y", 1)).toMatchObject({ to: { before: "x" }, priority: 0 });
    const high = [job("h1", 1, 5), job("h2", 2, 5), job("x", 1)];
    expect(placement(high, "h1", 1)).toMatchObject({ to: { after: "h2" }, priority: 5 });
  });

  it("lowers a job that is put among those of a lower band", () => {
    expect(placement(BANDS, "high", 2)).toMatchObject({ to: { after: "y" }, priority: 0 });
  });

  it("says nothing where nothing moves", () => {
    expect(placement(QUEUE, "b", 1)).toBeNull();
    expect(placement(QUEUE, "d", 99)).toBeNull();
    expect(placement(QUEUE, "gone", 0)).toBeNull();
    expect(placement([job("a", 1)], "a", 0)).toBeNull();
  });
});

describe("slots", () => {
  it("finds the gap nearest to a point", () => {
    expect(slotAt(-20, 60, 4)).toBe(0);
    expect(slotAt(29, 60, 4)).toBe(0);
    expect(slotAt(31, 60, 4)).toBe(1);
    expect(slotAt(9000, 60, 4)).toBe(4);
  });

  it("leaves out the row's own gap", () => {
    expect(indexOfSlot(3, 1)).toBe(2);
    expect(indexOfSlot(1, 1)).toBe(1);
    expect(indexOfSlot(2, 1)).toBe(1);
    expect(indexOfSlot(0, 1)).toBe(0);
  });
});
