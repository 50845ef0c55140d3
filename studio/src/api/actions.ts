// What people do to jobs: each says at once what will be, and takes it back if the service refuses.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { answer, api, type Job, type JobRequest, type Schemas } from "@/api/client";
import { applyJobs } from "@/api/live";
import { once } from "@/api/once";
import { keys } from "@/api/queries";
import { useToasts } from "@/ui/toast";

/** Report a failed action where people see it: what went wrong and what to do. */
export function useReport(): (error: unknown) => void {
  const { show } = useToasts();
  return (error) => {
    const { message, hint } = error as { message?: string; hint?: string | null };
    show({ tone: "bad", text: message ?? String(error), detail: hint ?? undefined });
  };
}

function useJobAction<Args extends { job: Job }>(
  call: (args: Args) => Promise<Job>,
  guess?: (args: Args) => Partial<Job>,
) {
  const client = useQueryClient();
  const report = useReport();
  return useMutation({
    mutationFn: call,
    onMutate: (args: Args) => {
      if (guess) applyJobs(client, { data: [{ ...args.job, ...guess(args) }], deleted: [] });
    },
    onSuccess: (job) => applyJobs(client, { data: [job], deleted: [] }),
    onError: (error, { job }) => {
      if (guess) applyJobs(client, { data: [job], deleted: [] });
      report(error);
    },
  });
}

export const useCancel = () =>
  useJobAction(
    ({ job }: { job: Job }) =>
      answer(api.POST("/api/v1/jobs/{job_id}/cancel", { params: { path: { job_id: job.id } } })),
    () => ({ is_cancel_requested: true }),
  );

export const useRetry = () =>
  useJobAction(({ job }: { job: Job }) =>
    answer(api.POST("/api/v1/jobs/{job_id}/retry", { params: { path: { job_id: job.id } } })),
  );

export const useMove = () =>
  useJobAction(({ job, to }: { job: Job; to: Partial<Schemas["MoveRequest"]> }) =>
    answer(
      api.POST("/api/v1/jobs/{job_id}/move", {
        params: { path: { job_id: job.id } },
        body: to as Schemas["MoveRequest"],
      }),
    ),
  );

export const useFavourite = () =>
  useJobAction(
    ({ job, is_favourite }: { job: Job; is_favourite: boolean }) => {
      const params = { path: { job_id: job.id } };
      return answer(
        is_favourite
          ? api.PUT("/api/v1/jobs/{job_id}/favourite", { params })
          : api.DELETE("/api/v1/jobs/{job_id}/favourite", { params }),
      );
    },
    ({ is_favourite }) => ({ is_favourite }),
  );

/** Submit a job; the same press is never stored twice. */
export function useSubmit() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (request: Partial<JobRequest> & { prompt: string }) =>
      once("/jobs", request, (key) =>
        answer(
          api.POST("/api/v1/jobs", {
            params: { header: { "Idempotency-Key": key } },
            body: request as JobRequest,
          }),
        ),
      ),
    onSuccess: (job) => {
      client.setQueryData<Job>(keys.job(job.id), (known) => known ?? job);
      applyJobs(client, { data: [job], deleted: [] });
    },
  });
}

export function useDeleteJobs() {
  const client = useQueryClient();
  const report = useReport();
  return useMutation({
    mutationFn: (ids: string[]) =>
      answer(api.POST("/api/v1/jobs/delete", { body: { job_ids: ids } })),
    onSuccess: (result) => applyJobs(client, { data: [], deleted: result.deleted }),
    onError: report,
  });
}
