import { QueryClient } from "@tanstack/react-query";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { isTouched, Refresher } from "@/views/performance/live";

const record = { job_type: "video_fast" };

describe("isTouched", () => {
  it("is what rests on records", () => {
    for (const kind of ["matrix", "alarms", "baseline", "records", "goals", "health"])
      expect(isTouched(["performance", kind], record)).toBe(true);
  });

  it("is not what records don't change", () => {
    for (const kind of ["histories", "decisions", "course"])
      expect(isTouched(["performance", kind], record)).toBe(false);
    expect(isTouched(["jobs", "active"], record)).toBe(false);
    expect(isTouched(["queue"], record)).toBe(false);
  });

  it("is a history of the same job type, or of all", () => {
    expect(isTouched(["performance", "trends", { job_type: "video_fast" }], record)).toBe(true);
    expect(isTouched(["performance", "trends", { job_type: "video_high" }], record)).toBe(false);
    expect(isTouched(["performance", "trends", {}], record)).toBe(true);
  });
});

describe("Refresher", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  function setUp() {
    const client = new QueryClient();
    const invalidate = vi.spyOn(client, "invalidateQueries").mockResolvedValue();
    let now = 0;
    const refresher = new Refresher(client, () => now);
    const pass = (ms: number) => {
      now += ms;
      vi.advanceTimersByTime(ms);
    };
    return { client, invalidate, refresher, pass };
  }

  it("reads at once, then gathers what comes", () => {
    const { invalidate, refresher, pass } = setUp();
    refresher.add(record);
    pass(0);
    expect(invalidate).toHaveBeenCalledTimes(1);
    for (let index = 0; index < 20; index += 1) {
      refresher.add({ job_type: index % 2 ? "video_fast" : "video_high" });
      pass(50);
    }
    expect(invalidate).toHaveBeenCalledTimes(1);
    pass(1000);
    expect(invalidate).toHaveBeenCalledTimes(2);
  });

  it("waits while figures are being read", () => {
    const { client, invalidate, refresher, pass } = setUp();
    const busy = vi.spyOn(client, "isFetching").mockReturnValue(1);
    refresher.add(record);
    pass(0);
    pass(500);
    expect(invalidate).not.toHaveBeenCalled();
    busy.mockReturnValue(0);
    pass(500);
    expect(invalidate).toHaveBeenCalledTimes(1);
  });

  it("reads everything after a decision, once for all that comes with it", () => {
    const { invalidate, refresher, pass } = setUp();
    refresher.addAll();
    refresher.add(record);
    pass(0);
    expect(invalidate.mock.calls).toEqual([[{ queryKey: ["performance"] }]]);
    refresher.add(record);
    pass(1500);
    expect(invalidate.mock.calls[1]?.[0]).not.toHaveProperty("queryKey");
  });

  it("stops", () => {
    const { invalidate, refresher, pass } = setUp();
    refresher.add(record);
    refresher.stop();
    pass(5000);
    expect(invalidate).not.toHaveBeenCalled();
  });
});
