// The form of Create: kept over reloads, filled by other views, and never lost to them.
import { create } from "zustand";
import { persist } from "zustand/middleware";
import type { Catalogue, Job, JobRequest } from "@/api/client";
import { isPersonal } from "@/lib/personal";
import { SETTINGS } from "@/lib/settings";

export type Values = Partial<Record<ParameterName, number | string>>;
type ParameterName = Exclude<
  keyof JobRequest,
  | "prompt"
  | "negative_prompt"
  | "seed"
  | "job_type"
  | "preset"
  | "priority"
  | "delay_s"
  | "metadata"
  | "webhook_url"
  | "webhook_events"
>;

export interface Draft {
  prompt: string;
  /** null: the job type's own default. */
  negative_prompt: string | null;
  job_type: string | null;
  preset: string;
  /** null: a new one for every job. */
  seed: number | null;
  /** What differs from the preset. */
  values: Values;
}

export const EMPTY: Draft = {
  prompt: "",
  negative_prompt: null,
  job_type: null,
  preset: "baseline",
  seed: null,
  values: {},
};

const MOST_UNDONE = 20;
export const MAX_SEED = 2 ** 32 - 1;

interface DraftStore {
  draft: Draft;
  past: Draft[];
  set(change: Partial<Draft>): void;
  /** Replace it, so that `undo` brings back what was there. */
  replace(draft: Draft): void;
  undo(): void;
}

const NAME = "ourvidz.draft";

export const useDraft = create<DraftStore>()(
  persist(
    (set, get) => ({
      draft: EMPTY,
      past: [],
      set: (change) => set({ draft: { ...get().draft, ...change } }),
      replace: (draft) => set({ draft, past: [...get().past.slice(1 - MOST_UNDONE), get().draft] }),
      undo: () => {
        const past = get().past;
        const last = past.at(-1);
        if (last) set({ draft: last, past: past.slice(0, -1) });
      },
    }),
    { name: NAME, version: 1, partialize: ({ draft }) => ({ draft }) },
  ),
);
isPersonal(NAME, useDraft);

/** Everything that a job was made with, as a draft; `taken`: the names that its job type takes. */
export function draftOf(job: Job, taken?: ReadonlySet<string>): Draft {
  const isVideo = job.media_type.startsWith("video/");
  const isTaken = (name: (typeof SETTINGS)[number]): boolean => {
    if (taken) return taken.has(name);
    if (name === "num_images") return job.num_images > 1; // others than batches refuse it
    return isVideo || (name !== "num_frames" && name !== "fps");
  };
  const values: Values = {};
  for (const name of SETTINGS) {
    const value = job[name];
    if (value != null && isTaken(name)) values[name] = value;
  }
  return {
    prompt: job.prompt,
    negative_prompt: job.negative_prompt,
    job_type: job.job_type,
    preset: job.preset,
    seed: job.seed,
    values,
  };
}

/** The names of the values that a job's type takes; undefined where the catalogue knows none. */
export function takenBy(catalogue: Catalogue | undefined, job: Job): Set<string> | undefined {
  const type = catalogue?.job_types.find(({ name }) => name === job.job_type);
  const properties = type?.json_schema.properties;
  return properties ? new Set(Object.keys(properties)) : undefined;
}

/** What the draft asks for, as the body of a submit. */
export function requestOf(
  draft: Draft,
  defaultJobType: string,
): Partial<JobRequest> & { prompt: string } {
  return {
    ...draft.values,
    prompt: draft.prompt,
    job_type: draft.job_type ?? defaultJobType,
    preset: draft.preset,
    ...(draft.negative_prompt === null ? {} : { negative_prompt: draft.negative_prompt }),
    ...(draft.seed === null ? {} : { seed: draft.seed }),
  } as Partial<JobRequest> & { prompt: string };
}
