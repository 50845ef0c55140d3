// Which jobs are put aside for Compare.
import { create } from "zustand";
import { persist } from "zustand/middleware";
import { isPersonal } from "@/lib/personal";

export const MOST_COMPARED = 6;

interface Comparison {
  ids: string[];
  toggle(id: string): void;
  set(ids: string[]): void;
}

const NAME = "ourvidz.comparison";

export const useComparison = create<Comparison>()(
  persist(
    (set, get) => ({
      ids: [],
      toggle: (id) => {
        const ids = get().ids;
        set({
          ids: ids.includes(id)
            ? ids.filter((each) => each !== id)
            : [...ids, id].slice(-MOST_COMPARED),
        });
      },
      set: (ids) => set({ ids: ids.slice(0, MOST_COMPARED) }),
    }),
    { name: NAME, version: 1 },
  ),
);
isPersonal(NAME, useComparison);

export function compareUrl(ids: readonly string[]): string {
  return `/compare?jobs=${ids.map(encodeURIComponent).join(",")}`;
}
