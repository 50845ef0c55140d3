// A run's events as they come. Pure part tested in progress.test.ts.
import { useEffect, useRef, useState } from "react";
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

/** Follow a run of the protocol until its end. */
export function useProgress(runId: string | null, onEnd: () => void): Progress {
  const [progress, setProgress] = useState(NOTHING);
  const ended = useRef(onEnd);
  ended.current = onEnd;
  useEffect(() => {
    setProgress(NOTHING);
    if (runId === null) return;
    const source = new EventSource(`/api/v1/benchmarks/${encodeURIComponent(runId)}/events`);
    const read = (message: Event) => {
      const event = JSON.parse((message as MessageEvent<string>).data) as RunEvent;
      setProgress((known) => advanced(known, event));
      if (event.kind !== "end") return;
      source.close();
      ended.current();
    };
    source.addEventListener("run", read);
    source.addEventListener("end", read);
    return () => source.close();
  }, [runId]);
  return progress;
}
