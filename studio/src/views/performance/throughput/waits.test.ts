import { describe, expect, it } from "vitest";
import type { RecordBrief } from "./queries";
import { p90, quantile, ratesIn, startsOf, typeRows, waitsIn, windowsOf } from "./waits";

const NOW_S = 1_800_000_000;
const iso = (at_s: number) => new Date(at_s * 1000).toISOString();

const job = (created: number, started: number | null, id = "job_1") => ({
  id,
  job_type: "video_fast",
  created_unix_s: NOW_S + created,
  run_at: iso(NOW_S + created),
  started_unix_s: started === null ? null : NOW_S + started,
});

/** A job that ended then, after a run of 4 s. */
const record = (at: number, job_type: string, is_success = true, wait_s = 1): RecordBrief =>
  ({
    job_id: `${job_type} ${at}`,
    at: iso(NOW_S + at),
    job_type,
    is_success,
    run_s: 4,
    total_s: wait_s + 4,
    queue_wait_s: wait_s,
  }) as RecordBrief;

describe("waits", () => {
  it("covers the period with whole windows that end now", () => {
    const windows = windowsOf("hour", NOW_S);
    expect(windows).toHaveLength(12);
    expect(windows[0]?.from_s).toBe(NOW_S - 3600);
    expect(windows.at(-1)?.to_s).toBe(NOW_S);
  });

  it("counts from the moment a job might run", () => {
    const later = { ...job(-100, -40), run_at: iso(NOW_S - 50) };
    const starts = startsOf([], [job(-100, -40), later, job(-100, null)]);
    expect(starts.map((each) => each.wait_s)).toEqual([60, 10]);
  });

  it("takes the median and, from ten values, p90", () => {
    expect(quantile([1, 2, 3, 10], 0.5)).toBe(2.5);
    expect(quantile([], 0.5)).toBeNull();
    expect(p90([1, 2, 3, 4, 5, 6, 7, 8, 9])).toBeNull();
    expect(p90([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])).toBeCloseTo(8.1);
  });

  it("puts waits where they ended", () => {
    const running = [job(-900, -10), job(-30, -20), job(-5, null)];
    const windows = waitsIn(windowsOf("hour", NOW_S), startsOf([], running));
    expect(windows.at(-1)).toMatchObject({ n: 2, median_s: 450, p90_s: null });
    expect(windows[0]).toMatchObject({ n: 0, median_s: null });
  });

  it("shows waits that are longer than the period", () => {
    const starts = startsOf([record(-10, "video_fast", true, 7200)], []);
    expect(waitsIn(windowsOf("hour", NOW_S), starts).at(-1)).toMatchObject({
      n: 1,
      median_s: 7200,
    });
  });

  it("counts a job once, also while its end is news", () => {
    const ended = { ...record(-10, "video_fast"), job_id: "job_1" };
    expect(startsOf([ended], [job(-100, -14)])).toHaveLength(1);
    expect(startsOf([{ ...ended, total_s: null, queue_wait_s: null }], [])).toEqual([]);
  });
});

describe("throughput", () => {
  it("turns counts into jobs an hour and leaves failures out", () => {
    const records = [record(-10, "a"), record(-20, "b"), record(-30, "a", false)];
    const last = ratesIn(windowsOf("hour", NOW_S), records).at(-1);
    expect(last).toMatchObject({ n: 2, perHour: 24, byType: { a: 1, b: 1 } });
  });

  it("sums up by job type, the busiest first", () => {
    const records = [
      record(-10, "a"),
      record(-400, "b"),
      record(-30, "b"),
      record(-35, "b", false),
    ];
    const rates = ratesIn(windowsOf("hour", NOW_S), records);
    const starts = [{ job_type: "b", at_s: NOW_S - 90, wait_s: 10 }];
    const rows = typeRows(rates, records, starts);
    expect(rows.map((row) => row.job_type)).toEqual(["b", "a"]);
    expect(rows[0]).toMatchObject({ done: 2, failed: 1, perHour: 2, median_wait_s: 10 });
    expect(rows[0]?.courses.reduce((a, b) => a + b)).toBe(2);
  });
});
