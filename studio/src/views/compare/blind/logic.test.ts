import { describe, expect, it } from "vitest";
import { differing, nextTest, openTests, sidesOf } from "@/views/compare/blind/logic";
import type { BlindTest } from "@/views/compare/queries";

const file = (side: string) => ({ url: `/files/${side}/0`, media_type: "image/png" });
const test = (id: string, over: Partial<BlindTest> = {}): BlindTest => ({
  id,
  created_at: "",
  a: [file("a")],
  b: [file("b")],
  choice: null,
  names: null,
  ...over,
});

describe("the queue of blind tests", () => {
  const tests = [test("blind_3"), test("blind_2", { choice: "a" }), test("blind_1")];

  it("holds what is not voted on and still has files, in the order of making", () => {
    expect(openTests(tests).map(({ id }) => id)).toEqual(["blind_1", "blind_3"]);
    expect(openTests([test("blind_4", { b: [] })])).toEqual([]);
  });

  it("goes on behind the one before, and begins anew at the end", () => {
    const open = openTests(tests);
    expect(nextTest(open, null)?.id).toBe("blind_1");
    expect(nextTest(open, "blind_1")?.id).toBe("blind_3");
    expect(nextTest(open, "blind_3")?.id).toBe("blind_1");
    expect(nextTest([test("blind_1")], "blind_1")).toBeNull();
  });
});

describe("a side", () => {
  it("is shown by its letter alone; a shorter batch shows its last file", () => {
    const sides = sidesOf(test("blind_1", { a: [file("a"), file("a")] }), 1, ["A", "B"]);
    expect(sides.map(({ name, alt }) => `${name}${alt}`)).toEqual(["A", "B"]);
    expect(sides.map(({ asset }) => asset.fps)).toEqual([null, null]);
  });
});

describe("what two sides differ in", () => {
  it("is told by setting, also where one has none", () => {
    expect(differing({ steps: 4, seed: 1 }, { steps: 8, seed: 1, shift: 3 })).toEqual([
      { name: "steps", a: "4", b: "8" },
      { name: "shift", a: "–", b: "3" },
    ]);
  });
});
