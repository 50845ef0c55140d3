import { describe, expect, it } from "vitest";
import { legalOf, type Numbers } from "@/views/grid/logic/parameters";
import {
  legalise,
  legalOnly,
  MOST_VALUES,
  niceStep,
  parseNumbers,
  rangeOf,
  suggested,
  withValues,
} from "@/views/grid/logic/values";

const numbers = (schema: Parameters<typeof legalOf>[0]) => legalOf(schema) as Numbers;
const steps = numbers({ type: "integer", minimum: 1, maximum: 100 });
const frames = numbers({ type: "integer", minimum: 5, maximum: 241, "x-step": 4 });
const width = numbers({ type: "integer", minimum: 72, maximum: 2048, multipleOf: 16 });
const guidance = numbers({ type: "number", minimum: 0, maximum: 20 });

describe("legal values", () => {
  it("are read from the schema", () => {
    expect(legalOf({ type: "string", enum: ["euler", "unipc"] })).toEqual({
      kind: "choices",
      values: ["euler", "unipc"],
    });
    expect(legalOf({ type: "string", maxLength: 10 })).toEqual({ kind: "texts", maxLength: 10 });
    expect(width).toMatchObject({ min: 80, step: 16, origin: 0 });
  });

  it.each([
    [34, 33],
    [35, 37],
    [1, 5],
    [999, 241],
  ])("moves %i frames to %i: 4n+1", (wish, legal) => {
    expect(legalise(wish, frames)).toBe(legal);
  });

  it("moves widths to multiples inside the limits", () => {
    expect(legalise(100, width)).toBe(96);
    expect(legalise(10, width)).toBe(80);
    expect(legalise(5000, width)).toBe(2048);
  });

  it("leaves fractions where they are legal", () => {
    expect(legalise(6.55, guidance)).toBe(6.55);
    expect(legalise(6.55, steps)).toBe(7);
  });

  it("drops what a parameter does not take", () => {
    expect(legalOnly([4, "8", 200], steps)).toEqual([4]);
    expect(legalOnly(["euler", "lcm"], { kind: "choices", values: ["euler"] })).toEqual(["euler"]);
    expect(legalOnly(["abc", "abcdef"], { kind: "texts", maxLength: 3 })).toEqual(["abc"]);
  });
});

describe("ranges", () => {
  it.each([
    ["10 to 30 by 5", [10, 15, 20, 25, 30]],
    ["10-30/10", [10, 20, 30]],
    ["10..30..10", [10, 20, 30]],
    ["4, 8, 15", [4, 8, 15]],
    ["4 8 15", [4, 8, 15]],
    ["4; 10 to 12", [4, 10, 11, 12]],
    ["30 to 10 by 10", [30, 20, 10]],
  ])("reads “%s”", (text, values) => {
    expect(parseNumbers(text, steps)).toMatchObject({ values, unread: [], isCut: false });
  });

  it("takes fractions without the errors of floating point", () => {
    expect(parseNumbers("0.1 to 0.5 by 0.1", guidance).values).toEqual([0.1, 0.2, 0.3, 0.4, 0.5]);
  });

  it("chooses about five values where no step is given", () => {
    expect(rangeOf(10, 30, null, steps)).toEqual([10, 15, 20, 25, 30]);
    expect(rangeOf(1, 7, null, guidance)).toEqual([1, 3, 5, 7]);
    expect(niceStep(0.3)).toBeCloseTo(0.5);
    expect(niceStep(20)).toBe(20);
    expect(niceStep(0)).toBe(1);
  });

  it("tells what it moved and what it could not read", () => {
    expect(parseNumbers("16 to 48 by 16, many", frames)).toEqual({
      values: [17, 33, 49],
      moved: [
        { from: 16, to: 17 },
        { from: 32, to: 33 },
        { from: 48, to: 49 },
      ],
      unread: ["many"],
      isCut: false,
    });
  });

  it("ends", () => {
    const seeds = numbers({ type: "integer", minimum: 0, maximum: 4_294_967_295 });
    const found = parseNumbers("0 to 4000000000 by 1", seeds);
    expect(found.values).toHaveLength(MOST_VALUES);
    expect(found.isCut).toBe(true);
    expect(parseNumbers("1 to 5 by 0", steps).values.length).toBeGreaterThan(1);
  });
});

describe("chips", () => {
  it("stand in order, each once", () => {
    expect(withValues([15, 4], [8, 4])).toEqual([4, 8, 15]);
    expect(withValues(["unipc"], ["euler"])).toEqual(["unipc", "euler"]);
  });

  it("begin around the base's value", () => {
    expect(suggested(steps, 20)).toEqual([10, 20, 30]);
    expect(suggested(frames, 33)).toEqual([17, 33, 49]);
    expect(suggested(guidance, 6.5)).toEqual([3.5, 6.5, 10]);
    expect(suggested({ kind: "texts", maxLength: 9 }, "a cat")).toEqual(["a cat"]);
  });
});
