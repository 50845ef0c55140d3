import { queryOptions } from "@tanstack/react-query";
import { ApiError, answer, api, type Schemas } from "@/api/client";
import { keys } from "@/api/queries";

export type JobPerformance = Schemas["JobPerformance"];
export type JobRecord = Schemas["RecordAnswer"];
export type Score = Schemas["MeasureScoreAnswer"];

const MOST_OTHERS = 100;

async function ledgerOf(
  job_id: string,
  against: string | null,
  signal: AbortSignal,
): Promise<JobPerformance> {
  return answer(
    api.GET("/api/v1/performance/jobs/{job_id}", {
      params: { path: { job_id }, query: against === null ? {} : { against } },
      signal,
    }),
  );
}

/** One job's ledger; null while there is none, as of a job that still runs. */
export const ledgerQuery = (job_id: string) =>
  queryOptions({
    queryKey: [...keys.performance, "ledger", job_id],
    queryFn: async ({ signal }) => {
      try {
        return await ledgerOf(job_id, null, signal);
      } catch (error) {
        if (error instanceof ApiError && error.status === 404) return null;
        throw error;
      }
    },
    staleTime: 60_000,
  });

/** The verdict beside another job. Jobs that can't be compared are refused, with the reason. */
export const againstQuery = (job_id: string, against: string) =>
  queryOptions({
    queryKey: [...keys.performance, "ledger", job_id, against],
    queryFn: ({ signal }) => ledgerOf(job_id, against, signal),
    retry: false,
    staleTime: 60_000,
  });

/** Other jobs of the same type, newest first. */
export const othersQuery = (job_type: string) =>
  queryOptions({
    queryKey: [...keys.performance, "ledger", "others", job_type],
    queryFn: ({ signal }) =>
      answer(
        api.GET("/api/v1/performance/records", {
          params: { query: { job_type, limit: MOST_OTHERS } },
          signal,
        }),
      ),
    staleTime: 30_000,
  });
