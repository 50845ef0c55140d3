// A job's spans in the Trace Event Format, which ui.perfetto.dev opens. Pure, tested beside it.
import type { Schemas } from "@/api/client";

type Span = Schemas["SpanAnswer"];

export interface TraceEvent {
  name: string;
  cat?: string;
  ph: "X" | "M";
  ts?: number;
  dur?: number;
  pid: 1;
  tid: number;
  args: Record<string, unknown>;
}

const micro = (seconds: number): number => Math.round(seconds * 1e9) / 1e3;

/** Events of a lane must lie within or after each other: spans that overlap get lanes of their own. */
export function lanesOf(spans: readonly Span[]): Span[][] {
  const lanes: Span[][] = [];
  const sorted = [...spans].sort((a, b) => a.start_s - b.start_s || b.end_s - a.end_s);
  for (const span of sorted) {
    const lane = lanes.find((each) =>
      each.every((other) => other.end_s <= span.start_s || other.end_s >= span.end_s),
    );
    if (lane) lane.push(span);
    else lanes.push([span]);
  }
  return lanes;
}

const named = (kind: string, tid: number, name: string): TraceEvent => ({
  name: kind,
  ph: "M",
  pid: 1,
  tid,
  args: { name },
});

const complete = (
  name: string,
  cat: string,
  start_s: number,
  length_s: number,
  tid: number,
  args: Record<string, unknown> = {},
): TraceEvent => ({
  name,
  cat,
  ph: "X",
  ts: micro(start_s),
  dur: micro(length_s),
  pid: 1,
  tid,
  args,
});

/** When each step began was not recorded: they are laid end to end from where denoising begins. */
function stepEvents(
  spans: readonly Span[],
  step_times_s: readonly number[],
  tid: number,
): TraceEvent[] {
  const begins = spans.filter((span) => span.phase === "denoise").map((span) => span.start_s);
  if (begins.length === 0) return [];
  let at_s = Math.min(...begins);
  return step_times_s.map((seconds, index) => {
    const event = complete(`step ${index + 1}`, "step", at_s, seconds, tid);
    at_s += seconds;
    return event;
  });
}

export function chromeTrace(
  name: string,
  spans: readonly Span[],
  step_times_s: readonly number[],
  about: Record<string, unknown>,
): { traceEvents: TraceEvent[]; displayTimeUnit: "ms"; otherData: Record<string, unknown> } {
  const main = lanesOf(spans.filter((span) => !span.is_background));
  const beside = lanesOf(spans.filter((span) => span.is_background));
  const lanes = [...main, ...beside];
  const steps = stepEvents(spans, step_times_s, lanes.length + 1);
  const names = [
    named("process_name", 0, name),
    ...lanes.map((_, index) =>
      named("thread_name", index + 1, index < main.length ? "drives the job" : "background"),
    ),
    ...(steps.length > 0
      ? [named("thread_name", lanes.length + 1, "denoising steps, end to end")]
      : []),
  ];
  const events = lanes.flatMap((lane, index) =>
    lane.map((span) =>
      complete(span.phase, "phase", span.start_s, span.end_s - span.start_s, index + 1, {
        ...span.facts,
        ...(span.device_s == null ? {} : { device_s: span.device_s }),
      }),
    ),
  );
  const sorted = [...events, ...steps].sort(
    (a, b) => (a.ts ?? 0) - (b.ts ?? 0) || (b.dur ?? 0) - (a.dur ?? 0),
  );
  return { traceEvents: [...names, ...sorted], displayTimeUnit: "ms", otherData: about };
}
