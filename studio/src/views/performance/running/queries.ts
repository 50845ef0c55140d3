import { type QueryClient, queryOptions } from "@tanstack/react-query";
import { api, type Schemas } from "@/api/client";
import { keys } from "@/api/queries";
import { type JobEvent, joined } from "@/views/performance/running/course";

interface Kept {
  events: JobEvent[];
  lastSeq: number;
  isFinished: boolean;
  /** How far this computer's clock is behind the service's; 0 where nobody could tell. */
  skewMs: number;
}

const LOOK_MS = 1000;
const LEAST_SKEW_MS = 2000; // the header has whole seconds

/** A job's events, read on from the last one known. */
export const courseQuery = (client: QueryClient, jobId: string) => {
  const queryKey = [...keys.performance, "course", jobId] as const;
  return queryOptions({
    queryKey,
    queryFn: async ({ signal }): Promise<Kept> => {
      const known = client.getQueryData<Kept>(queryKey);
      const { data, response } = await api.GET("/api/v1/jobs/{job_id}/events", {
        params: { path: { job_id: jobId }, query: { after: known?.lastSeq ?? 0 } },
        signal,
      });
      const page = data as Schemas["EventPage"] | undefined; // with `after` it is JSON, never a stream
      const events = joined(known?.events ?? [], page?.data ?? []);
      const said = Date.parse(response.headers.get("Date") ?? "") - Date.now();
      return {
        events,
        lastSeq: page?.last_seq ?? known?.lastSeq ?? 0,
        isFinished: page?.is_finished ?? false,
        skewMs: Math.abs(said) > LEAST_SKEW_MS ? said : 0,
      };
    },
    refetchInterval: (query) => (query.state.data?.isFinished ? false : LOOK_MS),
    structuralSharing: false,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 30_000,
  });
};
