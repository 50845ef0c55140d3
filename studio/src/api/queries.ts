import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { answer, api, type Job } from "@/api/client";

/** What the library shows; every field narrows. */
export interface LibraryFilter {
  state?: Job["state"][];
  kind?: Job["kind"][];
  job_type?: string[];
  text?: string;
  media_type?: string;
  is_favourite?: boolean;
  batch_id?: string;
  /** ISO 8601. */
  created_after?: string;
  /** Else the newest come first. */
  is_oldest_first?: boolean;
}

const PAGE = 60;
const MOST_ACTIVE = 1000;
export const MOST_NEWEST = 60;

export const keys = {
  catalogue: ["catalogue"] as const,
  jobs: ["jobs"] as const,
  active: ["jobs", "active"] as const,
  one: ["jobs", "one"] as const,
  job: (id: string) => ["jobs", "one", id] as const,
  libraries: ["jobs", "library"] as const,
  library: (filter: LibraryFilter) => ["jobs", "library", filter] as const,
  newests: ["jobs", "newest"] as const,
  newest: (filter: LibraryFilter) => ["jobs", "newest", filter] as const,
  queue: ["queue"] as const,
  workers: ["workers"] as const,
  status: ["status"] as const,
  session: ["session"] as const,
  performance: ["performance"] as const,
};

export const catalogueQuery = queryOptions({
  queryKey: keys.catalogue,
  queryFn: ({ signal }) => answer(api.GET("/api/v1/catalog", { signal })),
  staleTime: Number.POSITIVE_INFINITY,
});

/** Everything that waits or runs, oldest first. The live stream keeps it true from then on. */
export const activeQuery = queryOptions({
  queryKey: keys.active,
  queryFn: async ({ signal }) => {
    const jobs: Job[] = [];
    let cursor: string | undefined;
    do {
      const page = await answer(
        api.GET("/api/v1/jobs", {
          params: {
            query: { state: ["queued", "running"], is_oldest_first: true, limit: 200, cursor },
          },
          signal,
        }),
      );
      jobs.push(...page.data);
      cursor = page.next_cursor ?? undefined;
    } while (cursor && jobs.length < MOST_ACTIVE);
    return jobs;
  },
  staleTime: Number.POSITIVE_INFINITY,
});

/** One job with attempts, place in the queue and expected time. */
export const jobQuery = (id: string) =>
  queryOptions({
    queryKey: keys.job(id),
    queryFn: ({ signal }) =>
      answer(api.GET("/api/v1/jobs/{job_id}", { params: { path: { job_id: id } }, signal })),
    staleTime: 5_000,
  });

export const libraryQuery = (filter: LibraryFilter) =>
  infiniteQueryOptions({
    queryKey: keys.library(filter),
    queryFn: ({ pageParam, signal }) =>
      answer(
        api.GET("/api/v1/jobs", {
          params: { query: { ...filter, limit: PAGE, cursor: pageParam } },
          signal,
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    staleTime: Number.POSITIVE_INFINITY,
  });

/** The newest that match. However many come while the page is open, it holds no more of them. */
export const newestQuery = (filter: LibraryFilter) =>
  queryOptions({
    queryKey: keys.newest(filter),
    queryFn: async ({ signal }) => {
      const query = { ...filter, limit: MOST_NEWEST };
      return (await answer(api.GET("/api/v1/jobs", { params: { query }, signal }))).data;
    },
    staleTime: Number.POSITIVE_INFINITY,
  });

export const queueQuery = queryOptions({
  queryKey: keys.queue,
  queryFn: ({ signal }) => answer(api.GET("/api/v1/queue", { signal })),
  staleTime: Number.POSITIVE_INFINITY,
});

export const workersQuery = queryOptions({
  queryKey: keys.workers,
  queryFn: ({ signal }) => answer(api.GET("/api/v1/workers", { signal })),
  staleTime: 10_000,
});

export const statusQuery = queryOptions({
  queryKey: keys.status,
  queryFn: ({ signal }) => answer(api.GET("/api/v1/status", { signal })),
  staleTime: 60_000,
});
