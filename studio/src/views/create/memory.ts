// What this browser remembers of Create besides the draft itself.
import { create } from "zustand";
import { persist } from "zustand/middleware";
import type { Group } from "@/views/create/kinds";

const MOST_REMEMBERED = 24;

/** An enhancement that was asked for and not yet answered for by the person. */
export interface Proposal {
  job_id: string;
  original: string;
}

interface Memory {
  isAdvanced: boolean;
  isNegative: boolean;
  isPlaying: boolean;
  copies: number;
  /** Job type last taken of each group. */
  lastOf: Partial<Record<Group, string>>;
  /** Jobs submitted here, newest first. */
  submitted: string[];
  lastSeed: number | null;
  proposal: Proposal | null;
  set(change: Partial<Omit<Memory, "set">>): void;
  remember(jobs: { id: string; seed: number }[]): void;
}

export const useMemory = create<Memory>()(
  persist(
    (set, get) => ({
      isAdvanced: false,
      isNegative: false,
      isPlaying: !window.matchMedia?.("(prefers-reduced-motion: reduce)").matches,
      copies: 1,
      lastOf: {},
      submitted: [],
      lastSeed: null,
      proposal: null,
      set: (change) => set(change),
      remember: (jobs) =>
        set({
          submitted: [...jobs.map((job) => job.id).reverse(), ...get().submitted].slice(
            0,
            MOST_REMEMBERED,
          ),
          lastSeed: jobs.at(-1)?.seed ?? get().lastSeed,
        }),
    }),
    { name: "ourvidz.create", version: 1 },
  ),
);
