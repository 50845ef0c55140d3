import { expect, it } from "vitest";
import type { RecordBrief } from "../throughput/queries";
import { overall, successRows, wilson } from "./success";

const record = (job_type: string, is_success: boolean, flags: string[] = []): RecordBrief =>
  ({ job_type, is_success, flags }) as RecordBrief;

it("gives the intervals that the service gives", () => {
  expect(wilson(1, 1)?.low).toBeCloseTo(0.2065493, 6);
  expect(wilson(3, 3)?.low).toBeCloseTo(0.4385029, 6);
  expect(wilson(15, 16)).toMatchObject({ share: 0.9375 });
  expect(wilson(15, 16)?.low).toBeCloseTo(0.7167126, 6);
  expect(wilson(15, 16)?.high).toBeCloseTo(0.9888807, 6);
  expect(wilson(0, 0)).toBeNull();
});

it("lists every job type, measured or not", () => {
  const records = [record("a", true), record("a", false, ["throttled"]), record("old", true)];
  const rows = successRows(["a", "b"], records);
  expect(rows.map((row) => [row.job_type, row.success?.successes, row.success?.n])).toEqual([
    ["a", 1, 2],
    ["b", undefined, undefined],
    ["old", 1, 1],
  ]);
  expect(rows[0]?.num_flagged).toBe(1);
  expect(overall(records)?.n).toBe(3);
});

it.each(["enhancement_refused", "enhancement_failed"])("counts no job flagged %s", (flag) => {
  const records = [record("a", true), record("a", true, ["throttled"]), record("a", true, [flag])];
  expect(overall(records)).toMatchObject({ successes: 2, n: 3 });
  expect(successRows(["a"], records)[0]).toMatchObject({
    success: { successes: 2, n: 3 },
    num_flagged: 2,
  });
});

it("counts cancelled jobs on neither side", () => {
  const cancelled = { ...record("a", false), failure: "cancelled" } as RecordBrief;
  expect(overall([record("a", true), cancelled])).toMatchObject({ successes: 1, n: 1 });
  expect(overall([cancelled])).toBeNull();
});
