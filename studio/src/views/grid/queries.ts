import {
  queryOptions,
  useInfiniteQuery,
  useMutation,
  useQueries,
  useQueryClient,
} from "@tanstack/react-query";
import { useEffect, useMemo } from "react";
import { useReport } from "@/api/actions";
import { answer, api, type Job, type JobRequest } from "@/api/client";
import { once } from "@/api/once";
import { keys, libraryQuery } from "@/api/queries";
import type { Axis } from "@/views/grid/logic/parameters";
import { type Base, type Estimate, estimateOf, type Sample } from "@/views/grid/logic/plan";

/** What jobs like these would take, if they were submitted now. */
const expectQuery = (request: Base) =>
  queryOptions({
    queryKey: ["jobs", "expect", request] as const,
    queryFn: ({ signal }) =>
      answer(api.POST("/api/v1/jobs/expect", { body: request as JobRequest, signal })),
    staleTime: 30_000,
    retry: false,
  });

export interface Expectation {
  estimate: Estimate | null;
  /** Jobs that wait before it. */
  position: number;
  isLoading: boolean;
}

export function useExpectation(samples: readonly Sample[], numWorkers: number): Expectation {
  return useQueries({
    queries: samples.map((sample) => expectQuery(sample.request)),
    combine: (results) => {
      const answers = results.flatMap(({ data }, at) => {
        const sample = samples[at];
        return data && sample ? [{ sample, expected: data.expected }] : [];
      });
      return {
        estimate: estimateOf(answers, numWorkers),
        position: results[0]?.data?.queue_position ?? 0,
        isLoading: results.some((result) => result.isPending),
      };
    },
  });
}

export function useStartGrid() {
  const client = useQueryClient();
  const report = useReport();
  return useMutation({
    mutationFn: ({ base, axes }: { base: Base; axes: readonly Axis[] }) => {
      const body = {
        base: base as JobRequest,
        axes: Object.fromEntries(axes.map(({ name, values }) => [name, values])),
      };
      return once("/jobs/grid", body, (key) =>
        answer(
          api.POST("/api/v1/jobs/grid", { params: { header: { "Idempotency-Key": key } }, body }),
        ),
      );
    },
    onSuccess: () => client.invalidateQueries({ queryKey: keys.active }),
    onError: report,
  });
}

/** All jobs of a batch; the live stream keeps them true. */
export function useBatch(batchId: string) {
  const found = useInfiniteQuery(libraryQuery({ batch_id: batchId }));
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = found;
  useEffect(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage]);
  const jobs = useMemo<Job[]>(
    () => (found.data?.pages ?? []).flatMap((page) => page.data).toReversed(),
    [found.data],
  );
  return {
    jobs,
    isLoading: found.isPending,
    error: found.error,
    retry: () => void found.refetch(),
  };
}
