import { queryOptions } from "@tanstack/react-query";
import { answer, api, type JobRequest } from "@/api/client";
import { keys } from "@/api/queries";
import type { Body } from "@/views/create/request";

const SHORT_MS = 60_000; // of what is asked anew for every change of the form

export const expectations = [...keys.queue, "expect"] as const;

/** What a job would take; `body` is JSON, so that equal requests are one. */
export const expectQuery = (body: string) =>
  queryOptions({
    queryKey: [...expectations, body],
    queryFn: ({ signal }) =>
      answer(
        api.POST("/api/v1/jobs/expect", { body: JSON.parse(body) as Body as JobRequest, signal }),
      ),
    staleTime: 10_000,
    gcTime: SHORT_MS,
  });

export interface Texts {
  prompt: string;
  negative_prompt?: string;
  job_type: string;
}

export const tokensQuery = (texts: Texts) =>
  queryOptions({
    queryKey: [...keys.catalogue, "tokens", texts],
    queryFn: ({ signal }) => answer(api.POST("/api/v1/prompts/tokens", { body: texts, signal })),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: SHORT_MS,
  });

export const matrixQuery = queryOptions({
  queryKey: [...keys.performance, "matrix", "create"],
  queryFn: async ({ signal }) =>
    (await answer(api.GET("/api/v1/performance/matrix", { signal }))).rows,
  staleTime: 30_000,
});

export const starsQuery = queryOptions({
  queryKey: [...keys.performance, "ratings", "create"],
  queryFn: async ({ signal }) =>
    (
      await answer(
        api.GET("/api/v1/performance/ratings", {
          params: { query: { by: ["job_type", "preset"] } },
          signal,
        }),
      )
    ).data,
  staleTime: 30_000,
});
