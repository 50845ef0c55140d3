// What this browser remembers of Create besides the draft itself.
import { create } from "zustand";
import { persist } from "zustand/middleware";
import { isPersonal } from "@/lib/personal";
import type { Group } from "@/views/create/kinds";

const motion = window.matchMedia?.("(prefers-reduced-motion: reduce)");
const isMotionReduced = (): boolean => motion?.matches ?? false;
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

const NAME = "ourvidz.create";

export const useMemory = create<Memory>()(
  persist(
    (set, get) => ({
      isAdvanced: false,
      isNegative: false,
      isPlaying: !isMotionReduced(),
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
    {
      name: NAME,
      version: 1,
      // Who asked the system for less motion since then gets it.
      merge: (kept, now) => {
        const all = { ...now, ...(kept as Partial<Memory> | undefined) };
        return { ...all, isPlaying: all.isPlaying && !isMotionReduced() };
      },
    },
  ),
);
isPersonal(NAME, useMemory);
motion?.addEventListener("change", () => {
  if (motion.matches) useMemory.getState().set({ isPlaying: false });
});
