// Which results are selected, and on which one the keys act.
import { create } from "zustand";

/** What lies between two entries of a list, both with it. */
export function between(order: readonly string[], from: string | null, to: string): string[] {
  const end = order.indexOf(to);
  if (end < 0) return [];
  const start = from === null ? end : order.indexOf(from);
  if (start < 0) return [to];
  return order.slice(Math.min(start, end), Math.max(start, end) + 1);
}

interface Selection {
  ids: ReadonlySet<string>;
  /** Where a range begins. */
  anchor: string | null;
  /** What the keys act on. */
  active: string | null;
  toggle(id: string): void;
  extend(order: readonly string[], to: string): void;
  add(ids: readonly string[]): void;
  /** Forget what is no longer there. */
  keep(ids: ReadonlySet<string>): void;
  clear(): void;
  setActive(id: string | null): void;
}

export const useSelection = create<Selection>((set, get) => ({
  ids: new Set(),
  anchor: null,
  active: null,
  toggle: (id) => {
    const ids = new Set(get().ids);
    if (!ids.delete(id)) ids.add(id);
    set({ ids, anchor: id });
  },
  extend: (order, to) => {
    const { ids, anchor, active } = get();
    const from = anchor ?? active;
    set({ ids: new Set([...ids, ...between(order, from, to)]), anchor: from ?? to });
  },
  add: (added) => set({ ids: new Set([...get().ids, ...added]) }),
  keep: (known) => {
    const ids = [...get().ids].filter((id) => known.has(id));
    if (ids.length !== get().ids.size) set({ ids: new Set(ids) });
  },
  clear: () => set({ ids: new Set(), anchor: null }),
  setActive: (active) => set({ active }),
}));
