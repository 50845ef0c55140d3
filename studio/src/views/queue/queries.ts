import { queryOptions, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useMemo } from "react";
import { useReport } from "@/api/actions";
import { answer, api, type Job, type Queue } from "@/api/client";
import { byPlace } from "@/api/merge";
import { activeQuery, jobQuery, keys, type LibraryFilter } from "@/api/queries";
import { useMessages } from "@/messages";
import { useToasts } from "@/ui/toast";

const EXPECTED_EVERY_MS = 15_000;
const CANCELLED_AT_ONCE = 6;

export const ENDED: LibraryFilter = {
  state: ["succeeded", "failed", "cancelled"],
  kind: ["generate"],
};

/** What runs, and what waits in the order in which it will be taken. */
export function useActiveJobs() {
  const { data, error, refetch, isPending } = useQuery(activeQuery);
  const jobs = useMemo(() => {
    const running = data?.filter((job) => job.state === "running") ?? [];
    const waiting = data?.filter((job) => job.state === "queued") ?? [];
    running.sort((a, b) => (a.started_unix_s ?? 0) - (b.started_unix_s ?? 0));
    return { running, waiting: waiting.sort(byPlace) };
  }, [data]);
  return { ...jobs, error, refetch, isPending, hasData: data !== undefined };
}

/** Expected start and time of a waiting job; asked for while its row is seen. */
export const expectedQuery = (id: string) =>
  queryOptions({ ...jobQuery(id), refetchInterval: EXPECTED_EVERY_MS, gcTime: 60_000 });

export function usePause() {
  const client = useQueryClient();
  const report = useReport();
  return useMutation({
    mutationFn: ({ scope, isPaused }: { scope: string; isPaused: boolean }) =>
      answer(
        api.POST(isPaused ? "/api/v1/queue/pause" : "/api/v1/queue/resume", { body: { scope } }),
      ),
    onMutate: ({ scope, isPaused }) =>
      client.setQueryData<Queue>(keys.queue, (known) => known && withPause(known, scope, isPaused)),
    onSuccess: (queue) => client.setQueryData<Queue>(keys.queue, queue),
    onError: (error) => {
      void client.invalidateQueries({ queryKey: keys.queue });
      report(error);
    },
  });
}

export function withPause(queue: Queue, scope: string, isPaused: boolean): Queue {
  const others = queue.paused.filter((each) => each !== scope);
  return { ...queue, paused: isPaused ? [...others, scope] : others };
}

/** Cancel many; those that began or ended meanwhile are left as they are. */
export function useCancelAll() {
  const client = useQueryClient();
  const report = useReport();
  const { queue: texts } = useMessages();
  const { show } = useToasts();
  return useMutation({
    mutationFn: async (jobs: readonly Job[]) => {
      const left = [...jobs];
      const work = async () => {
        for (let job = left.pop(); job; job = left.pop())
          await api.POST("/api/v1/jobs/{job_id}/cancel", { params: { path: { job_id: job.id } } });
      };
      await Promise.all(Array.from({ length: CANCELLED_AT_ONCE }, work));
      return jobs.length;
    },
    onSuccess: (count) => show({ tone: "neutral", text: texts.cancelledSome(count) }),
    onError: report,
    onSettled: () => client.invalidateQueries({ queryKey: keys.active }),
  });
}
