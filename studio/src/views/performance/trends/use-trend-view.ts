import { useCallback } from "react";
import { useSearchParams } from "wouter";
import type { JobState, TrendFilter } from "@/views/performance/queries";

const STATES: readonly string[] = ["cold", "warm", "resident"];

type Name = "job_type" | "preset" | "state" | "measure" | "spacing" | "history" | "change";

export const ALL_JOB_TYPES = "all";

/**
 * Which histories are looked at, in what measure: kept in the address.
 * `first`: the job type that shows until somebody chose; undefined while it is not known.
 */
export function useTrendView(first: string | null | undefined) {
  const [params, setParams] = useSearchParams();
  const set = useCallback(
    (change: Partial<Record<Name, string | null>>) =>
      setParams(
        (before) => {
          const next = new URLSearchParams(before);
          for (const [name, value] of Object.entries(change))
            if (value) next.set(name, value);
            else next.delete(name);
          return next;
        },
        { replace: true },
      ),
    [setParams],
  );
  const wanted = params.get("job_type");
  const state = params.get("state");
  const filter: TrendFilter = {
    job_type: wanted === ALL_JOB_TYPES ? undefined : (wanted ?? first ?? undefined),
    preset: params.get("preset") ?? undefined,
    state: state && STATES.includes(state) ? (state as JobState) : undefined,
    history: params.get("history") === "1" || undefined,
  };
  return {
    filter,
    measure: params.get("measure") ?? "total",
    spacing: params.get("spacing") === "time" ? ("time" as const) : ("runs" as const),
    change: params.get("change"),
    isReady: wanted !== null || first !== undefined,
    set,
  };
}

export type TrendView = ReturnType<typeof useTrendView>;
