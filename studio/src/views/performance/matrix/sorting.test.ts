import { describe, expect, it } from "vitest";
import { matrixRow } from "@/views/performance/fixtures";
import {
  chosenRows,
  nextSort,
  readSort,
  rowKey,
  sortedRows,
  writeSort,
} from "@/views/performance/matrix/sorting";

const rows = [
  matrixRow({ group: "a", job_type: "video_fast", real_s: 30, state: "resident", variance: 0.4 }),
  matrixRow({ group: "b", job_type: "image_fast", real_s: null, state: null, status: "pending" }),
  matrixRow({ group: "c", job_type: "sdxl_image_fast", real_s: 5, state: "cold", variance: -0.2 }),
  matrixRow({ group: "d", job_type: "video_high", real_s: 60, state: "warm", variance: null }),
];
const order = (key: Parameters<typeof readSort>[0]) =>
  sortedRows(rows, readSort(key))
    .map((row) => row.group)
    .join("");

describe("sortedRows", () => {
  it("leaves the service's order alone until somebody sorts", () => {
    expect(order(null)).toBe("abcd");
  });

  it("sorts numbers both ways, with what is unknown last", () => {
    expect(order("real")).toBe("cadb");
    expect(order("-real")).toBe("dacb");
    expect(order("-expected").slice(0, 2)).toBe("ab");
  });

  it("sorts states from cold to resident and names by letter", () => {
    expect(order("state")).toBe("cdab");
    expect(order("job_type")).toBe("bcad");
  });

  it("does not touch what it is given", () => {
    const before = [...rows];
    sortedRows(rows, readSort("-real"));
    expect(rows).toEqual(before);
  });
});

describe("an address", () => {
  it("tells the order", () => {
    expect(readSort("-n")).toEqual({ key: "n", direction: "desc" });
    expect(writeSort(readSort("-n"))).toBe("-n");
    expect(readSort("password")).toBeNull();
    expect(writeSort(null)).toBeNull();
  });

  it("changes with each press: first way, other way, none", () => {
    const first = nextSort(null, "real");
    const second = nextSort(first, "real");
    expect([first, second, nextSort(second, "real")]).toEqual([
      { key: "real", direction: "desc" },
      { key: "real", direction: "asc" },
      null,
    ]);
    expect(nextSort(first, "job_type")).toEqual({ key: "job_type", direction: "asc" });
  });
});

it("chooses by type, state and status", () => {
  expect(chosenRows(rows, { state: "cold" })).toHaveLength(1);
  expect(chosenRows(rows, { status: "pending", job_type: "image_fast" })).toHaveLength(1);
  expect(chosenRows(rows, {})).toHaveLength(4);
});

it("names rows that never ran", () => {
  expect(rowKey(matrixRow({ group: null }))).toBe("video_fast/baseline");
});
