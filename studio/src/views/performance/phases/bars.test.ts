import { expect, it } from "vitest";
import { matrixRow } from "@/views/performance/fixtures";
import {
  barRows,
  firstJobType,
  groupsOf,
  jobTypesOf,
  largestPhase,
} from "@/views/performance/phases/bars";

const rows = [
  matrixRow({ group: "a", job_type: "image_fast", n: 3 }),
  matrixRow({ group: "b", state: "resident", n: 4 }),
  matrixRow({ group: "c", state: "cold", n: 2 }),
  matrixRow({ group: "d", state: "resident", n: 9 }),
  matrixRow({ group: "e", n: 0 }),
  matrixRow({ group: null, job_type: "video_high", n: 0 }),
];

it("offers job types that ran, most runs first", () => {
  expect(jobTypesOf(rows)).toEqual(["video_fast", "image_fast"]);
});

it("begins with what became slower, else with most runs", () => {
  expect(firstJobType(rows)).toBe("video_fast");
  expect(firstJobType([...rows, matrixRow({ job_type: "video_high", trend: "slower" })])).toBe(
    "video_high",
  );
  expect(firstJobType([])).toBeNull();
});

it("lists groups from cold to resident", () => {
  expect(groupsOf(rows, "video_fast").map((row) => row.group)).toEqual(["c", "d", "b"]);
});

it("tells seconds and shares", () => {
  const bar = { key: "a", name: "A", phases_s: { decode: 1, denoise: 3, save: 0 } };
  expect(barRows([bar]).map((row) => [row.phase, row.share])).toEqual([
    ["denoise", 0.75],
    ["decode", 0.25],
  ]);
  expect(largestPhase(bar.phases_s)).toEqual({ phase: "denoise", share: 0.75 });
});
