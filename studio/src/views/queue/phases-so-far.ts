// Which phases a running job has been through: its ledger comes only when it ends.
import { queryOptions, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { answer, api, type Job, type Schemas } from "@/api/client";

type JobEvent = Schemas["EventAnswer"];

export interface Begun {
  phase: string;
  at_s: number;
}

interface Known {
  seq: number;
  begun: Begun[];
}

/** What began, in order; a new attempt begins from nothing. */
export function addEvents(begun: readonly Begun[], events: readonly JobEvent[]): Begun[] {
  let now = [...begun];
  for (const { kind, at, data } of events) {
    if (kind === "claimed") now = [];
    if (kind === "phase" && typeof data.phase === "string")
      now.push({ phase: data.phase, at_s: Date.parse(at) / 1000 });
  }
  return now;
}

/** Seconds of each phase up to now; each lasts until the next begins. */
export function phasesSoFar(begun: readonly Begun[], now_s: number): Record<string, number> {
  const phases: Record<string, number> = {};
  begun.forEach(({ phase, at_s }, index) => {
    const end_s = begun[index + 1]?.at_s ?? now_s;
    phases[phase] = (phases[phase] ?? 0) + Math.max(0, end_s - at_s);
  });
  return phases;
}

const begunQuery = (id: string) =>
  queryOptions({
    queryKey: ["jobs", "begun", id] as const,
    queryFn: async ({ client, signal, queryKey }): Promise<Known> => {
      const known = client.getQueryData<Known>(queryKey) ?? { seq: 0, begun: [] };
      const page = (await answer(
        api.GET("/api/v1/jobs/{job_id}/events", {
          params: { path: { job_id: id }, query: { after: known.seq } },
          signal,
        }),
      )) as Schemas["EventPage"]; // with `after` it is never the stream
      return { seq: page.last_seq, begun: addEvents(known.begun, page.data) };
    },
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
  });

/** Read anew whenever the job comes to another phase. */
export function useBegun(job: Job): readonly Begun[] {
  const client = useQueryClient();
  const { data } = useQuery(begunQuery(job.id));
  const phase = job.progress?.phase;
  const last = data?.begun.at(-1)?.phase;
  useEffect(() => {
    if (phase && phase !== last)
      void client.invalidateQueries({ queryKey: begunQuery(job.id).queryKey });
  }, [client, job.id, phase, last]);
  return data?.begun ?? [];
}
