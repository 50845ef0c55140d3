import { queryOptions, useMutation, useQueries, useQueryClient } from "@tanstack/react-query";
import { useReport } from "@/api/actions";
import { ApiError, answer, api, type Job, type Schemas } from "@/api/client";
import { jobQuery, keys } from "@/api/queries";

export type BlindTest = Schemas["BlindTestAnswer"];
export type Choice = Schemas["VoteRequest"]["choice"];
export type WinRate = Schemas["WinRateAnswer"];

const blindKeys = {
  tests: [...keys.performance, "blind-tests"] as const,
  test: (id: string) => [...keys.performance, "blind-test", id] as const,
  rates: [...keys.performance, "win-rates"] as const,
};

const MOST_TESTS = 200;

export interface Compared {
  id: string;
  job: Job | null;
  isLoading: boolean;
  /** It was deleted. */
  isGone: boolean;
  error: unknown;
}

/** The compared jobs, each kept true by the live stream. */
export function useCompared(ids: readonly string[]): { all: Compared[]; retry(): void } {
  return useQueries({
    queries: ids.map((id) => jobQuery(id)),
    combine: (results) => ({
      all: results.map(({ data, isPending, error }, place) => ({
        id: ids[place] ?? "",
        job: data ?? null,
        isLoading: isPending,
        isGone: error instanceof ApiError && error.status === 404,
        error,
      })),
      retry: () => {
        for (const result of results) if (result.isError) void result.refetch();
      },
    }),
  });
}

export const blindTestsQuery = queryOptions({
  queryKey: blindKeys.tests,
  queryFn: async ({ signal }) => {
    const page = await answer(
      api.GET("/api/v1/performance/blind-tests", {
        params: { query: { limit: MOST_TESTS } },
        signal,
      }),
    );
    return page.data;
  },
  staleTime: 30_000,
});

export const blindTestQuery = (id: string) =>
  queryOptions({
    queryKey: blindKeys.test(id),
    queryFn: ({ signal }) =>
      answer(
        api.GET("/api/v1/performance/blind-tests/{test_id}", {
          params: { path: { test_id: id } },
          signal,
        }),
      ),
    staleTime: 30_000,
  });

export const winRatesQuery = queryOptions({
  queryKey: blindKeys.rates,
  queryFn: ({ signal }) => answer(api.GET("/api/v1/performance/win-rates", { signal })),
  staleTime: 30_000,
});

/** Make a blind test of each pair; answers with them in the order given. */
export function useMakeTests() {
  const client = useQueryClient();
  const report = useReport();
  return useMutation({
    mutationFn: async (pairs: readonly (readonly [Job, Job])[]) => {
      const made: BlindTest[] = [];
      for (const [first, second] of pairs)
        made.push(
          await answer(
            api.POST("/api/v1/performance/blind-tests", {
              body: { job_ids: [first.id, second.id] },
            }),
          ),
        );
      return made;
    },
    onSettled: () => client.invalidateQueries({ queryKey: blindKeys.tests }),
    onError: report,
  });
}

export function useVote() {
  const client = useQueryClient();
  const report = useReport();
  return useMutation({
    mutationFn: ({ id, choice }: { id: string; choice: Choice }) =>
      answer(
        api.POST("/api/v1/performance/blind-tests/{test_id}/vote", {
          params: { path: { test_id: id } },
          body: { choice },
        }),
      ),
    onSuccess: (test) => {
      client.setQueryData(blindKeys.test(test.id), test);
      client.setQueryData<BlindTest[]>(blindKeys.tests, (known) =>
        known?.map((each) => (each.id === test.id ? test : each)),
      );
      void client.invalidateQueries({ queryKey: blindKeys.rates });
    },
    onError: report,
  });
}
