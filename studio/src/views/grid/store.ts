// The grid that is being built, and those that were started here.
import { create } from "zustand";
import { persist } from "zustand/middleware";
import { isPersonal } from "@/lib/personal";
import type { Axis } from "@/views/grid/logic/parameters";

export interface KnownGrid {
  batch_id: string;
  at_ms: number;
  prompt: string;
  axes: Axis[];
  num_jobs: number;
}

interface GridStore {
  /** null: the draft of Create. */
  base_job: string | null;
  isOfJob: boolean;
  axes: Axis[];
  known: KnownGrid[];
  setBase(base: { isOfJob: boolean; base_job?: string | null }): void;
  setAxes(axes: Axis[]): void;
  remember(grid: KnownGrid): void;
}

const MOST_KNOWN = 40;

const NAME = "ourvidz.grids";

export const useGrids = create<GridStore>()(
  persist(
    (set, get) => ({
      base_job: null,
      isOfJob: false,
      axes: [],
      known: [],
      setBase: (base) => set(base),
      setAxes: (axes) => set({ axes }),
      remember: (grid) => {
        const others = get().known.filter((each) => each.batch_id !== grid.batch_id);
        set({ known: [grid, ...others].slice(0, MOST_KNOWN) });
      },
    }),
    { name: NAME, version: 1 },
  ),
);
isPersonal(NAME, useGrids);
