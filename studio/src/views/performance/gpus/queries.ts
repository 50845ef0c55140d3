import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { useReport } from "@/api/actions";
import { answer, api, type Schemas } from "@/api/client";
import { keys } from "@/api/queries";

export type Model = Schemas["ModelAnswer"];
export type JobRecord = Schemas["RecordAnswer"];

export const modelsQuery = queryOptions({
  queryKey: [...keys.workers, "models"],
  queryFn: ({ signal }) => answer(api.GET("/api/v1/models", { signal })),
  staleTime: 10_000,
});

const LOOKED_AT = 4;

/** The newest records in full: what the device did while they ran. */
export const lastRecordsQuery = queryOptions({
  queryKey: [...keys.performance, "gpus", "records"],
  queryFn: async ({ signal }) => {
    const { data } = await answer(
      api.GET("/api/v1/performance/records", { params: { query: { limit: LOOKED_AT } }, signal }),
    );
    const found = await Promise.allSettled(
      data.map(({ job_id }) =>
        answer(
          api.GET("/api/v1/performance/jobs/{job_id}", {
            params: { path: { job_id } },
            signal,
          }),
        ),
      ),
    );
    return found.flatMap((each) => (each.status === "fulfilled" ? [each.value.record] : []));
  },
  staleTime: 15_000,
});

/** Load or unload a model on one worker. It acts between two steps. */
export function useResidency() {
  const client = useQueryClient();
  const report = useReport();
  return useMutation({
    mutationFn: ({
      verb,
      model_id,
      worker_id,
    }: {
      verb: "load" | "unload";
      model_id: string;
      worker_id: string;
    }) => {
      const options = { params: { path: { model_id } }, body: { worker_id } };
      return answer(
        verb === "load"
          ? api.POST("/api/v1/models/{model_id}/load", options)
          : api.POST("/api/v1/models/{model_id}/unload", options),
      );
    },
    onSuccess: () => client.invalidateQueries({ queryKey: keys.workers }),
    onError: report,
  });
}

export function useDrain() {
  const client = useQueryClient();
  const report = useReport();
  return useMutation({
    mutationFn: (worker_id: string) =>
      answer(api.POST("/api/v1/workers/{worker_id}/drain", { params: { path: { worker_id } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.workers }),
    onError: report,
  });
}
