// A prompt's way through the enhancer: asked for, followed, answered for by the person.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useReport } from "@/api/actions";
import { ApiError, answer, api, type Job } from "@/api/client";
import { jobQuery, keys } from "@/api/queries";
import { useDraft } from "@/stores/draft";
import { useForm } from "@/views/create/form";
import { enhancerOf } from "@/views/create/kinds";
import { useMemory } from "@/views/create/memory";

const WAIT_S = 2; // most enhancements end within it; the others are followed
const AGAIN_MS = 1000;

/** Of the last wish; one that was taken back, or made again, is another's no more. */
let wish = 0;

const isOpen = (job: Job | undefined): boolean =>
  job === undefined || job.state === "queued" || job.state === "running";

export function useEnhance() {
  const { catalogue, type } = useForm();
  const client = useQueryClient();
  const report = useReport();
  const proposal = useMemory((store) => store.proposal);
  const set = useMemory((store) => store.set);
  const enhancer = enhancerOf(catalogue.job_types, type);
  const start = useMutation({
    mutationKey: ["create", "enhance"],
    mutationFn: async (prompt: string) => {
      const body = { prompt, job_type: enhancer?.name ?? null, wait_s: WAIT_S };
      return { job: await answer(api.POST("/api/v1/enhance", { body })), original: prompt };
    },
    onMutate: () => {
      set({ proposal: null });
      wish += 1;
      return wish;
    },
    onSuccess: ({ job, original }, _, own) => {
      if (own !== wish) return drop(job.id);
      client.setQueryData(keys.job(job.id), job);
      set({ proposal: { job_id: job.id, original } });
    },
  });
  const drop = (jobId: string) =>
    answer(api.POST("/api/v1/jobs/{job_id}/cancel", { params: { path: { job_id: jobId } } })).then(
      () => undefined,
      (error) => {
        const hasEnded = error instanceof ApiError && error.status === 409;
        if (!hasEnded) report(error);
      },
    );
  const following = useQuery({
    ...jobQuery(proposal?.job_id ?? ""),
    enabled: proposal !== null,
    refetchInterval: (query) => (isOpen(query.state.data) ? AGAIN_MS : false),
  });
  const job = proposal ? following.data : undefined;
  return {
    enhancer,
    proposal,
    job,
    isWorking: start.isPending || (proposal !== null && isOpen(job) && !following.isError),
    error: start.error ?? (proposal ? following.error : null),
    ask: () => start.mutate(useDraft.getState().draft.prompt.trim()),
    close: () => {
      start.reset();
      set({ proposal: null });
    },
    cancel: async () => {
      wish += 1; // its job, if it is only asked for, is cancelled when it is known
      start.reset();
      set({ proposal: null });
      if (proposal && isOpen(job)) await drop(proposal.job_id);
    },
  };
}

export type Enhancing = ReturnType<typeof useEnhance>;

/** Put a text into the prompt; returns how to bring back what was there. */
export function accept(prompt: string): () => void {
  const { draft, replace } = useDraft.getState();
  replace({ ...draft, prompt });
  const accepted = useDraft.getState().draft;
  return () => {
    const store = useDraft.getState();
    if (store.draft === accepted) store.undo();
    else store.replace({ ...store.draft, prompt: draft.prompt }); // what changed since stays
  };
}
