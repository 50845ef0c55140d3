// How many jobs wait and run, watched while the page is open. Pure part tested in depth.test.ts.
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { Queue } from "@/api/client";
import { keys } from "@/api/queries";

export interface DepthSample {
  at_s: number;
  waiting: number;
  running: number;
}

const EVERY_MS = 2000;
export const MOST_SAMPLES = 450; // a quarter of an hour

export function sampleOf(queue: Queue, at_s: number): DepthSample {
  return {
    at_s,
    waiting: queue.by_state.queued ?? 0,
    running: queue.by_state.running ?? 0,
  };
}

/** Append, forgetting the oldest; two of the same moment become one. */
export function pushed(samples: readonly DepthSample[], next: DepthSample): DepthSample[] {
  const last = samples.at(-1);
  const kept = last && next.at_s <= last.at_s ? samples.slice(0, -1) : samples;
  return [...kept.slice(Math.max(0, kept.length + 1 - MOST_SAMPLES)), next];
}

const LEAST_SHOWN_S = 60;

export interface ShownSample {
  at_s: number;
  waiting: number | null;
  running: number | null;
}

/** With an empty beginning, so that the clock shows a minute from the first sample on. */
export function withLeadIn(samples: readonly DepthSample[]): ShownSample[] {
  const [first, last] = [samples[0], samples.at(-1)];
  if (!first || !last || last.at_s - first.at_s >= LEAST_SHOWN_S) return [...samples];
  return [{ at_s: last.at_s - LEAST_SHOWN_S, waiting: null, running: null }, ...samples];
}

/** Look at the queue every two seconds; what the live stream told is what is seen. */
export function useDepth(): readonly DepthSample[] {
  const client = useQueryClient();
  const [samples, setSamples] = useState<readonly DepthSample[]>([]);
  useEffect(() => {
    const look = () => {
      const queue = client.getQueryData<Queue>(keys.queue);
      if (queue) setSamples((known) => pushed(known, sampleOf(queue, Date.now() / 1000)));
    };
    look();
    const timer = setInterval(look, EVERY_MS);
    return () => clearInterval(timer);
  }, [client]);
  return samples;
}
