import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { useReport } from "@/api/actions";
import { ApiError, answer, api, type Schemas } from "@/api/client";
import { onNews } from "@/api/live";
import { keys } from "@/api/queries";

export type Started = Schemas["BenchmarkStarted"];
export type Brief = Schemas["BenchmarkBrief"];
export type Report = Schemas["BenchmarkReport"];
export type Request = Schemas["BenchmarkRequest"];
export type RunEvent = Schemas["BenchmarkEvent"];

const PROTOCOL = [...keys.performance, "protocol"] as const;
const MOST_RUNS = 50;

export const runsQuery = queryOptions({
  queryKey: [...PROTOCOL, "runs"],
  queryFn: ({ signal }) =>
    answer(api.GET("/api/v1/benchmarks", { params: { query: { limit: MOST_RUNS } }, signal })),
  staleTime: 10_000,
});

/** The last run that the service started; null: none yet. */
export const activeRunQuery = queryOptions({
  queryKey: [...PROTOCOL, "active"],
  queryFn: async ({ signal }) => {
    try {
      return await answer(api.GET("/api/v1/benchmarks/active", { signal }));
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return null;
      throw error;
    }
  },
});

export const reportQuery = (run_id: string) =>
  queryOptions({
    queryKey: [...PROTOCOL, "report", run_id],
    queryFn: ({ signal }) =>
      answer(api.GET("/api/v1/benchmarks/{run_id}", { params: { path: { run_id } }, signal })),
    staleTime: 10_000,
  });

/** What the service says of its run goes into what is known of it; its begin and end are read. */
export function useRunInStep(): void {
  const client = useQueryClient();
  useEffect(
    () =>
      onNews("benchmark", ({ run_id, is_running, started_at }) => {
        const known = client.getQueryData<Started | null>(activeRunQuery.queryKey);
        if (known?.started_at === started_at && is_running) {
          const next: Started = { ...known, run_id, is_running };
          client.setQueryData(activeRunQuery.queryKey, next);
        } else void client.invalidateQueries({ queryKey: PROTOCOL });
      }),
    [client],
  );
}

export function useStart() {
  const client = useQueryClient();
  const report = useReport();
  return useMutation({
    mutationFn: (body: Request) => answer(api.POST("/api/v1/benchmarks", { body })),
    onSuccess: (started) => {
      client.setQueryData(activeRunQuery.queryKey, started);
      void client.invalidateQueries({ queryKey: PROTOCOL });
    },
    onError: report,
  });
}

export function useCancelRun() {
  const client = useQueryClient();
  const report = useReport();
  return useMutation({
    mutationFn: () => answer(api.POST("/api/v1/benchmarks/active/cancel")),
    onSuccess: () => client.invalidateQueries({ queryKey: PROTOCOL }),
    onError: report,
  });
}

/** Something of a run ended: the list and reports are read again. */
export function useRefresh(): () => void {
  const client = useQueryClient();
  return () => void client.invalidateQueries({ queryKey: PROTOCOL });
}
