import { queryOptions } from "@tanstack/react-query";
import { answer, api, type Job } from "@/api/client";
import { keys } from "@/api/queries";

const PAGE = 100;
const MOST_FAILED = 300;
const MOST_SUCCEEDED = 200;

async function newest(state: Job["state"], most: number, signal: AbortSignal): Promise<Job[]> {
  const jobs: Job[] = [];
  let cursor: string | undefined;
  do {
    const page = await answer(
      api.GET("/api/v1/jobs", {
        params: { query: { state: [state], limit: PAGE, cursor } },
        signal,
      }),
    );
    jobs.push(...page.data);
    cursor = page.next_cursor ?? undefined;
  } while (cursor && jobs.length < most);
  return jobs.slice(0, most);
}

export const failedQuery = queryOptions({
  queryKey: [...keys.performance, "failures", "failed"],
  queryFn: ({ signal }) => newest("failed", MOST_FAILED, signal),
  staleTime: 30_000,
});

/** The newest that succeeded: some of them not as they were asked for. */
export const succeededQuery = queryOptions({
  queryKey: [...keys.performance, "failures", "succeeded"],
  queryFn: ({ signal }) => newest("succeeded", MOST_SUCCEEDED, signal),
  staleTime: 30_000,
});
