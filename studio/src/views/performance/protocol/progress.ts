// A run's events as they come. Pure part tested in progress.test.ts.
import { useEffect, useRef, useState } from "react";
import { answer, api, type Schemas } from "@/api/client";
import { onNews } from "@/api/live";
import type { RunEvent } from "./queries";

export interface Progress {
  events: readonly RunEvent[];
  num_done: number;
  num_planned: number;
  isOver: boolean;
}

export const NOTHING: Progress = { events: [], num_done: 0, num_planned: 0, isOver: false };

/** What is known with one event more; told twice, it counts once. */
export function advanced(known: Progress, event: RunEvent): Progress {
  if (event.seq <= (known.events.at(-1)?.seq ?? 0)) return known;
  return {
    events: [...known.events, event],
    num_done: event.num_done,
    num_planned: event.num_planned,
    isOver: event.kind === "end",
  };
}

/** Follow a run of the protocol until its end: read on whenever the service says that it went on. */
export function useProgress(runId: string | null, onEnd: () => void): Progress {
  const [progress, setProgress] = useState(NOTHING);
  const ended = useRef(onEnd);
  ended.current = onEnd;
  useEffect(() => {
    setProgress(NOTHING);
    if (runId === null) return;
    const abort = new AbortController();
    let after = 0;
    let isReading = false;
    let isBehind = false;
    const readOn = async () => {
      do {
        isBehind = false;
        const page = await eventsAfter(runId, after, abort.signal);
        after = page.last_seq;
        setProgress((known) => page.data.reduce(advanced, known));
        if (!page.is_finished) continue;
        stop();
        return ended.current();
      } while (isBehind);
    };
    const look = () => {
      isBehind = true;
      if (isReading) return;
      isReading = true;
      readOn()
        .catch(() => undefined) // out of reach: the next hello reads again
        .finally(() => {
          isReading = false;
        });
    };
    const ends = [onNews("benchmark", look), onNews("hello", look)];
    const stop = () => {
      abort.abort();
      for (const end of ends) end();
    };
    look();
    return stop;
  }, [runId]);
  return progress;
}

async function eventsAfter(run_id: string, after: number, signal: AbortSignal) {
  const params = { path: { run_id }, query: { after } };
  // The same address streams where no `after` is told, so that its type is of both.
  return (await answer<unknown>(
    api.GET("/api/v1/benchmarks/{run_id}/events", { params, signal }),
  )) as Schemas["BenchmarkEvents"];
}
