import { expect, it } from "vitest";
import type { Schemas } from "@/api/client";
import { chromeTrace, lanesOf } from "./trace";

const span = (
  phase: string,
  start_s: number,
  end_s: number,
  is_background = false,
): Schemas["SpanAnswer"] => ({ phase, start_s, end_s, is_background, device_s: null, facts: {} });

it("gives overlapping spans lanes of their own", () => {
  const lanes = lanesOf([span("b", 1, 3), span("a", 0, 2), span("c", 0.5, 1)]);
  expect(lanes.map((lane) => lane.map(({ phase }) => phase))).toEqual([["a", "c"], ["b"]]);
});

it("lays steps end to end in microseconds", () => {
  const trace = chromeTrace(
    "job",
    [span("denoise", 1, 3), span("save", 2, 4, true)],
    [0.5, 0.25],
    {},
  );
  const events = trace.traceEvents.filter(({ ph }) => ph === "X");
  expect(events.map(({ name, ts, dur, tid }) => [name, ts, dur, tid])).toEqual([
    ["denoise", 1e6, 2e6, 1],
    ["step 1", 1e6, 5e5, 3],
    ["step 2", 1.5e6, 2.5e5, 3],
    ["save", 2e6, 2e6, 2],
  ]);
  expect(trace.traceEvents.filter(({ ph }) => ph === "M").map(({ args }) => args.name)).toEqual([
    "job",
    "drives the job",
    "background",
    "denoising steps, end to end",
  ]);
});
