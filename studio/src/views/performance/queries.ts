import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/react-query";
import { answer, api, type Schemas } from "@/api/client";
import { keys } from "@/api/queries";

export type MatrixRow = Schemas["MatrixRowAnswer"];
export type Series = Schemas["SeriesAnswer"];
export type Change = Schemas["ChangeAnswer"];
export type Baseline = Schemas["BaselineAnswer"];
export type Decision = Schemas["DecisionAnswer"];
export type RecordBrief = Schemas["RecordBrief"];
export type JobState = "cold" | "warm" | "resident";

export interface TrendFilter {
  job_type?: string;
  preset?: string;
  state?: JobState;
  history?: boolean;
  /** Changes are looked for in these alone; all if left out, which takes the service longest. */
  measure?: string[];
}

const MOST_POINTS = 500;
const SERIES_PAGE = 8;

// What lies under keys.performance is read again when a record or a decision comes (live.ts).
// Figures stay on screen while newer ones are computed.
const kept = { placeholderData: keepPreviousData, staleTime: Number.POSITIVE_INFINITY };

export const matrixQuery = queryOptions({
  queryKey: [...keys.performance, "matrix"],
  queryFn: ({ signal }) =>
    answer(
      api.GET("/api/v1/performance/matrix", { params: { query: { history: false } }, signal }),
    ),
  ...kept,
});

export const alarmsQuery = queryOptions({
  queryKey: [...keys.performance, "alarms"],
  queryFn: ({ signal }) => answer(api.GET("/api/v1/performance/alarms", { signal })),
  ...kept,
});

export const baselineQuery = (group: string) =>
  queryOptions({
    queryKey: [...keys.performance, "baseline", group],
    queryFn: ({ signal }) =>
      answer(
        api.GET("/api/v1/performance/baselines/{group}", { params: { path: { group } }, signal }),
      ),
    ...kept,
  });

/** Histories, newest run first, with the changes of all measures. */
export const trendsQuery = (filter: TrendFilter) =>
  infiniteQueryOptions({
    queryKey: [...keys.performance, "trends", filter],
    queryFn: ({ pageParam, signal }) =>
      answer(
        api.GET("/api/v1/performance/trends", {
          params: {
            query: {
              ...filter,
              history: filter.history ?? false,
              points: MOST_POINTS,
              limit: SERIES_PAGE,
              cursor: pageParam,
            },
          },
          signal,
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    ...kept,
  });

/** Everything that was decided, newest first, page by page. */
export const decisionsQuery = infiniteQueryOptions({
  queryKey: [...keys.performance, "decisions"],
  queryFn: ({ pageParam, signal }) =>
    answer(
      api.GET("/api/v1/performance/decisions", {
        params: { query: { limit: 50, cursor: pageParam } },
        signal,
      }),
    ),
  initialPageParam: undefined as string | undefined,
  getNextPageParam: (page) => page.next_cursor ?? undefined,
  ...kept,
});

export const historiesQuery = queryOptions({
  queryKey: [...keys.performance, "histories"],
  queryFn: ({ signal }) => answer(api.GET("/api/v1/performance/histories", { signal })),
  ...kept,
});

/** One history's records, each with what it contradicts. */
export const claimsQuery = (history: string) =>
  queryOptions({
    queryKey: [...keys.performance, "claims", history],
    queryFn: ({ signal }) =>
      answer(api.GET("/api/v1/performance/claims", { params: { query: { history } }, signal })),
    ...kept,
  });
