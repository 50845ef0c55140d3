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

/** A record in full, and who ran its job; null: the job was deleted. */
export interface Ran {
  record: JobRecord;
  worker_id: string | null;
}

const LOOKED_AT = 12; // what several workers did last

/** The newest records: what the device did while they ran, and which worker's device it was. */
export const lastRunsQuery = queryOptions({
  queryKey: [...keys.performance, "gpus", "runs"],
  queryFn: async ({ signal }): Promise<Ran[]> => {
    const { data } = await answer(
      api.GET("/api/v1/performance/records", { params: { query: { limit: LOOKED_AT } }, signal }),
    );
    const found = await Promise.allSettled(data.map(({ job_id }) => readRun(job_id, signal)));
    return found.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  },
  staleTime: 15_000,
});

async function readRun(job_id: string, signal: AbortSignal): Promise<Ran> {
  const options = { params: { path: { job_id } }, signal };
  const [{ record }, worker_id] = await Promise.all([
    answer(api.GET("/api/v1/performance/jobs/{job_id}", options)),
    answer(api.GET("/api/v1/jobs/{job_id}", options)).then(
      (job) => job.attempts?.at(-1)?.worker_id ?? null,
      () => null,
    ),
  ]);
  return { record, worker_id };
}

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
