import { expect, it } from "vitest";
import { covered, spansOf, waterfallRows } from "@/charts/waterfall-rows";

it("gives each phase one row, by its first start", () => {
  const rows = waterfallRows(
    [
      { phase: "denoise", start_s: 2, end_s: 5 },
      { phase: "load.vae", start_s: 0.5, end_s: 3, is_background: true },
      { phase: "encode", start_s: 1, end_s: 2 },
      { phase: "denoise", start_s: 6, end_s: 7 },
    ],
    10,
  );
  expect(rows.map((row) => [row.phase, row.bars.length, row.seconds])).toEqual([
    ["load.vae", 1, 2.5],
    ["encode", 1, 1],
    ["denoise", 2, 4],
  ]);
});

it("ends what still runs now", () => {
  const [row] = waterfallRows([{ phase: "denoise", start_s: 2, end_s: null }], 9);
  expect(row?.bars[0]).toMatchObject({ end_s: 9, isOpen: true });
  const [early] = waterfallRows([{ phase: "denoise", start_s: 2, end_s: null }], 1);
  expect(early?.seconds).toBe(0);
});

it("keeps the ledger's order where starts are equal", () => {
  const rows = waterfallRows(
    [
      { phase: "decode", start_s: 0, end_s: 1 },
      { phase: "encode", start_s: 0, end_s: 1 },
    ],
    1,
  );
  expect(rows.map((row) => row.phase)).toEqual(["encode", "decode"]);
});

it("counts overlap once", () => {
  expect(
    covered([
      { start_s: 0, end_s: 4 },
      { start_s: 1, end_s: 2 },
      { start_s: 3, end_s: 6 },
      { start_s: 8, end_s: 9 },
    ]),
  ).toBe(7);
  expect(covered([])).toBe(0);
});

it("lays phases without spans one behind the other", () => {
  expect(
    spansOf([
      { phase: "encode", seconds: 1 },
      { phase: "denoise", seconds: 2 },
    ]),
  ).toEqual([
    { phase: "encode", start_s: 0, end_s: 1 },
    { phase: "denoise", start_s: 1, end_s: 3 },
  ]);
});
