import { queryOptions } from "@tanstack/react-query";
import { answer, api } from "@/api/client";
import { keys } from "@/api/queries";
import { PERIODS, type Period } from "../throughput/waits";

const AGAIN_MS = 60_000; // the window moves on, also where nothing happens

export const fleetKey = [...keys.performance, "fleet"] as const;

/** Machines and groups, and how GPUs were used in the period. News of records reads it again. */
export const fleetQuery = (period: Period) =>
  queryOptions({
    queryKey: [...fleetKey, period],
    queryFn: ({ signal }) =>
      answer(
        api.GET("/api/v1/fleet", {
          params: { query: { window_s: PERIODS[period].span_s } },
          signal,
        }),
      ),
    staleTime: 15_000,
    refetchInterval: AGAIN_MS,
  });
