import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useReport } from "@/api/actions";
import { api, type Job } from "@/api/client";
import { applyJobs } from "@/api/live";

export const DEFECTS = ["anatomy", "flicker", "artefact", "text", "prompt_missed"] as const;
export type Defect = (typeof DEFECTS)[number];

export interface Rated {
  job: Job;
  stars?: number | null;
  tags?: Defect[];
}

/** What a job's rating becomes: what is left out stays, and one that says nothing is none. */
export function ratingAfter({ job, stars, tags }: Rated): Job["rating"] {
  const next = {
    stars: stars === undefined ? (job.rating?.stars ?? null) : stars,
    tags: tags ?? job.rating?.tags ?? [],
  };
  return next.stars === null && next.tags.length === 0 ? null : next;
}

export function toggled(tags: readonly Defect[], tag: Defect): Defect[] {
  return tags.includes(tag) ? tags.filter((each) => each !== tag) : [...tags, tag];
}

/** Say what you think of a job's output; it shows at once. */
export function useRate() {
  const client = useQueryClient();
  const report = useReport();
  return useMutation({
    mutationFn: async (rated: Rated) => {
      const params = { path: { job_id: rated.job.id } };
      const rating = ratingAfter(rated);
      if (rating) await api.PUT("/api/v1/jobs/{job_id}/rating", { params, body: rating });
      else await api.DELETE("/api/v1/jobs/{job_id}/rating", { params });
    },
    onMutate: (rated) =>
      applyJobs(client, { data: [{ ...rated.job, rating: ratingAfter(rated) }], deleted: [] }),
    onError: (error, { job }) => {
      applyJobs(client, { data: [job], deleted: [] });
      report(error);
    },
  });
}
