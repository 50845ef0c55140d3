import { queryOptions } from "@tanstack/react-query";
import { answer, api, type Schemas } from "@/api/client";
import { keys } from "@/api/queries";
import { PERIODS, type Period } from "./waits";

const PAGE = 200;
const MOST = 2000;

export type RecordBrief = Schemas["RecordBrief"];

/** What jobs left in the period, newest first, also those that were deleted since. */
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
