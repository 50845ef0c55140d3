import { queryOptions } from "@tanstack/react-query";
import { answer, api, type Schemas } from "@/api/client";
import { keys } from "@/api/queries";
import { type Group, readReport } from "../protocol/report";

export type MatrixRow = Schemas["MatrixRowAnswer"];
export type RatingGroup = Schemas["RatingGroup"];
export type WinRate = Schemas["WinRateAnswer"];
/** What tells settings of one job type apart, in matrix and ratings alike. */
export const SETTINGS = [
  "preset",
  "width",
  "height",
  "num_frames",
  "num_images",
  "num_inference_steps",
  "scheduler",
  "guidance_scale",
  "flow_shift",
  "fidelity",
] as const;

const PARETO = [...keys.performance, "pareto"] as const;
const MOST_REPORTS = 10;

export const ownMatrixQuery = queryOptions({
  queryKey: [...PARETO, "matrix"],
  queryFn: ({ signal }) =>
    answer(
      api.GET("/api/v1/performance/matrix", { params: { query: { history: false } }, signal }),
    ),
  staleTime: 30_000,
});

export const ratingsQuery = (job_type: string) =>
  queryOptions({
    queryKey: [...PARETO, "ratings", job_type],
    queryFn: ({ signal }) =>
      answer(
        api.GET("/api/v1/performance/ratings", {
          params: { query: { job_type, by: [...SETTINGS] } },
          signal,
        }),
      ),
    staleTime: 30_000,
  });

export const winRatesQuery = queryOptions({
  queryKey: [...PARETO, "win-rates"],
  queryFn: ({ signal }) => answer(api.GET("/api/v1/performance/win-rates", { signal })),
  staleTime: 30_000,
});

/** Groups of the newest protocol runs, whose outputs were judged by a machine. */
export const judgedQuery = queryOptions({
  queryKey: [...PARETO, "judged"],
  queryFn: async ({ signal }) => {
    const { data } = await answer(
      api.GET("/api/v1/benchmarks", { params: { query: { limit: MOST_REPORTS } }, signal }),
    );
    const reports = await Promise.allSettled(
      data
        .filter((run) => run.status === "complete")
        .map(({ id: run_id }) =>
          answer(api.GET("/api/v1/benchmarks/{run_id}", { params: { path: { run_id } }, signal })),
        ),
    );
    return reports.flatMap((each): Group[] =>
      each.status === "fulfilled" ? readReport(each.value).groups : [],
    );
  },
  staleTime: 60_000,
});
