import { expect, it } from "vitest";
import { sparkPath } from "@/charts/sparkline";

it("begins a new line behind each gap", () => {
  const same = (value: number) => value;
  expect(sparkPath([1, 2, null, 4, Number.NaN, 6], same, same)).toBe(
    "M0.0 1.0L1.0 2.0M3.0 4.0M5.0 6.0",
  );
  expect(sparkPath([], same, same)).toBe("");
});
