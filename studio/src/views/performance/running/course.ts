// What a running job did so far, read out of its events. Pure, tested in course.test.ts.

import type { Schemas } from "@/api/client";
import type { WaterfallSpan } from "@/charts/waterfall-rows";

export type JobEvent = Schemas["EventAnswer"];

export interface Course {
  /** Seconds since a worker claimed the job; the last one is open. */
  spans: WaterfallSpan[];
  /** When that was, in ms by the service's clock; null before it. */
  beganMs: number | null;
  /** Seconds of a unit (a step, a frame) as the last phase with units reports them, oldest first. */
  unitTimes_s: number[];
  /** The phase that those are of. */
  unitPhase: string | null;
}

interface Told {
  phase?: unknown;
  done?: unknown;
}

const NOTHING: Course = { spans: [], beganMs: null, unitTimes_s: [], unitPhase: null };

/** The course of the attempt that runs: those before it are left out. */
export function courseOf(events: readonly JobEvent[]): Course {
  const first = events.findLastIndex((event) => event.kind === "claimed");
  const claimed = events[first];
  if (!claimed) return NOTHING;
  const beganMs = Date.parse(claimed.at);
  const course: Course = { spans: [], beganMs, unitTimes_s: [], unitPhase: null };
  let before = { phase: "", done: 0, at_s: 0 };
  for (const event of events.slice(first + 1)) {
    const { phase, done } = event.data as Told;
    const at_s = Math.max(0, (Date.parse(event.at) - beganMs) / 1000);
    if (event.kind === "phase" && typeof phase === "string") {
      if (course.spans.at(-1)?.phase !== phase) {
        end(course.spans, at_s);
        course.spans.push({ phase, start_s: at_s, end_s: null });
      }
      before = { phase, done: 0, at_s };
    } else if (event.kind === "progress" && typeof phase === "string" && typeof done === "number") {
      if (phase !== course.unitPhase) {
        course.unitPhase = phase;
        course.unitTimes_s = [];
      }
      const units = done - (before.phase === phase ? before.done : 0);
      if (units > 0) course.unitTimes_s.push(Math.max(0, at_s - before.at_s) / units);
      before = { phase, done, at_s };
    } else if (ENDS.has(event.kind)) end(course.spans, at_s);
  }
  return course;
}

const ENDS: ReadonlySet<string> = new Set(["succeeded", "failed", "cancelled", "requeued"]);

function end(spans: WaterfallSpan[], at_s: number): void {
  const last = spans.at(-1);
  if (last && last.end_s == null) last.end_s = at_s;
}

/** Events known so far and newer ones: none twice, in order. */
export function joined(known: readonly JobEvent[], news: readonly JobEvent[]): JobEvent[] {
  const last = known.at(-1)?.seq ?? 0;
  const fresh = news.filter((event) => event.seq > last);
  return fresh.length === 0 ? (known as JobEvent[]) : [...known, ...fresh];
}
