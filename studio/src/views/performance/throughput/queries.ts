import { queryOptions } from "@tanstack/react-query";
import { answer, api, type Job, type Schemas } from "@/api/client";
import { keys } from "@/api/queries";
import { PERIODS, type Period } from "./waits";

const PAGE = 200;
const MOST = 1000;

export type RecordBrief = Schemas["RecordBrief"];

/** Jobs that were submitted in the period, newest first, at most a thousand. */
export const periodJobsQuery = (period: Period) =>
  queryOptions({
    queryKey: [...keys.performance, "throughput", "jobs", period],
    queryFn: async ({ signal }) => {
      const now_s = Date.now() / 1000;
      const created_after = String(Math.floor(now_s - PERIODS[period].span_s));
      const jobs: Job[] = [];
      let cursor: string | undefined;
      do {
        const page = await answer(
          api.GET("/api/v1/jobs", {
            params: { query: { created_after, limit: PAGE, cursor } },
            signal,
          }),
        );
        jobs.push(...page.data);
        cursor = page.next_cursor ?? undefined;
      } while (cursor && jobs.length < MOST);
      return { jobs, now_s, isCut: cursor !== undefined };
    },
    staleTime: 30_000,
  });

/** What jobs left in the period, also those that were deleted since. */
export const periodRecordsQuery = (period: Period) =>
  queryOptions({
    queryKey: [...keys.performance, "throughput", "records", period],
    queryFn: async ({ signal }) => {
      const now_s = Date.now() / 1000;
      const from_s = now_s - PERIODS[period].span_s;
      const records: RecordBrief[] = [];
      let cursor: string | undefined;
      let isOver = false;
      do {
        const page = await answer(
          api.GET("/api/v1/performance/records", {
            params: { query: { limit: PAGE, cursor } },
            signal,
          }),
        );
        const within = page.data.filter((each) => Date.parse(each.at) / 1000 >= from_s);
        records.push(...within);
        isOver = within.length < page.data.length;
        cursor = page.next_cursor ?? undefined;
      } while (cursor && !isOver && records.length < MOST);
      return { records, now_s, isCut: cursor !== undefined && !isOver };
    },
    staleTime: 30_000,
  });
