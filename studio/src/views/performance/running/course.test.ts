import { describe, expect, it } from "vitest";
import { courseOf, type JobEvent, joined } from "@/views/performance/running/course";

let seq = 0;
const event = (second: number, kind: JobEvent["kind"], data: Record<string, unknown> = {}) => ({
  job_id: "job_1",
  seq: ++seq,
  at: new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString(),
  kind,
  data,
});

describe("courseOf", () => {
  it("is empty until a worker claims the job", () => {
    expect(courseOf([event(0, "submitted")])).toMatchObject({ spans: [], beganMs: null });
  });

  it("follows the phases; the last one is open", () => {
    const { spans, beganMs } = courseOf([
      event(0, "submitted"),
      event(10, "claimed"),
      event(11, "phase", { phase: "encode" }),
      event(13, "phase", { phase: "denoise" }),
    ]);
    expect(beganMs).toBe(Date.UTC(2026, 0, 1, 0, 0, 10));
    expect(spans).toEqual([
      { phase: "encode", start_s: 1, end_s: 3 },
      { phase: "denoise", start_s: 3, end_s: null },
    ]);
  });

  it("measures steps between reports, from the phase's begin", () => {
    const { unitTimes_s, unitPhase } = courseOf([
      event(0, "claimed"),
      event(1, "phase", { phase: "denoise" }),
      event(3, "progress", { phase: "denoise", done: 4 }),
      event(4, "progress", { phase: "denoise", done: 4 }),
      event(7, "progress", { phase: "denoise", done: 7 }),
    ]);
    expect(unitPhase).toBe("denoise");
    expect(unitTimes_s).toEqual([0.5, 1]);
  });

  it("begins anew with each phase that has units", () => {
    const { unitTimes_s, unitPhase } = courseOf([
      event(0, "claimed"),
      event(1, "phase", { phase: "denoise" }),
      event(3, "progress", { phase: "denoise", done: 4 }),
      event(4, "phase", { phase: "decode" }),
      event(6, "progress", { phase: "decode", done: 1 }),
    ]);
    expect([unitPhase, unitTimes_s]).toEqual(["decode", [2]]);
  });

  it("shows the attempt that runs, not the one that crashed", () => {
    const { spans } = courseOf([
      event(0, "claimed"),
      event(1, "phase", { phase: "denoise" }),
      event(5, "requeued"),
      event(8, "claimed"),
      event(9, "phase", { phase: "encode" }),
      event(10, "succeeded"),
    ]);
    expect(spans).toEqual([{ phase: "encode", start_s: 1, end_s: 2 }]);
  });
});

it("joins news without repeating", () => {
  const [a, b, c] = [event(0, "submitted"), event(1, "claimed"), event(2, "phase")];
  const known = [a, b];
  expect(joined(known, [b, c])).toEqual([a, b, c]);
  expect(joined(known, [a])).toBe(known);
});
