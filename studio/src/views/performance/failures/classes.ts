// Failed jobs by their cause, and jobs that were not done as asked. Pure, tested beside it.
import type { Job } from "@/api/client";

export interface FailureClass {
  code: string;
  n: number;
  share: number;
  last_at: string;
  /** The newest of them: what it said and what to do. */
  example: Pick<Job, "id" | "job_type">;
  message: string;
  hint: string | null;
  job_types: string[];
}

const endOf = (job: Job): string => job.finished_at ?? job.created_at;

function grouped<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return groups;
}

/** One class for each code, the commonest first, then the newest. */
export function failureClasses(jobs: readonly Job[]): FailureClass[] {
  return [...grouped(jobs, (job) => job.error?.code ?? "unknown")]
    .map(([code, members]) => {
      const last = members.reduce((a, b) => (endOf(b) > endOf(a) ? b : a));
      return {
        code,
        n: members.length,
        share: members.length / jobs.length,
        last_at: endOf(last),
        example: last,
        message: last.error?.message ?? "",
        hint: last.error?.hint ?? null,
        job_types: [...new Set(members.map((job) => job.job_type))].sort(),
      };
    })
    .sort((a, b) => b.n - a.n || (a.last_at < b.last_at ? 1 : -1));
}

export interface Remark {
  kind: "enhancement" | "adjustment";
  /** The enhancer's verdict, or the adjustment's code. */
  code: string;
  text: string | null;
  n: number;
  last_at: string;
  example: Pick<Job, "id" | "job_type">;
}

/** What happened to jobs that succeeded and yet are no clean runs, or not what was asked for. */
export function remarks(jobs: readonly Job[]): Remark[] {
  const found = jobs.flatMap((job) => {
    const verdict = job.enhancement?.verdict;
    return [
      ...(verdict && verdict !== "usable"
        ? [{ kind: "enhancement" as const, code: verdict, text: null, job }]
        : []),
      ...job.adjustments.map(({ code, text }) => ({
        kind: "adjustment" as const,
        code,
        text,
        job,
      })),
    ];
  });
  return [...grouped(found, ({ kind, code }) => `${kind}:${code}`).values()]
    .flatMap((members) => {
      const [first] = members;
      if (!first) return [];
      const last = members.reduce((a, b) => (endOf(b.job) > endOf(a.job) ? b : a));
      return [
        {
          kind: first.kind,
          code: first.code,
          text: last.text,
          n: members.length,
          last_at: endOf(last.job),
          example: last.job,
        },
      ];
    })
    .sort((a, b) => b.n - a.n || (a.last_at < b.last_at ? 1 : -1));
}
