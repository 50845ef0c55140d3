// Where a job goes when it is moved: as a wish for the service, and as the guess shown until it answers.
import type { Job, Schemas } from "@/api/client";

export interface Placement {
  to: Partial<Schemas["MoveRequest"]>;
  priority: number;
  position: number;
}

/** The list with one entry at another place. */
export function withMoved<T extends { id: string }>(
  order: readonly T[],
  id: string,
  index: number,
): T[] {
  const entry = order.find((each) => each.id === id);
  if (!entry) return [...order];
  const rest = order.filter((each) => each !== entry);
  rest.splice(Math.max(0, Math.min(index, rest.length)), 0, entry);
  return rest;
}

/** Null: it stays where it is. `index` is its place in the list that results. */
export function placement(order: readonly Job[], id: string, index: number): Placement | null {
  const from = order.findIndex((each) => each.id === id);
  const job = order[from];
  const at = Math.max(0, Math.min(index, order.length - 1));
  if (!job || at === from) return null;
  const rest = order.filter((each) => each !== job);
  const [above, below] = [rest[at - 1], rest[at]];
  if (!above && below)
    return {
      to: { front: true },
      priority: Math.max(below.priority, job.priority),
      position: below.position - 1,
    };
  // A job takes the band of the one beside which it is put: its own, where one of the two has it.
  const isAfter = above !== undefined && (!below || keepsBand(job, above, below));
  if (isAfter) return { to: { after: above.id }, ...behind(above, below) };
  return below ? { to: { before: below.id }, ...ahead(above, below) } : null;
}

const keepsBand = (job: Job, above: Job, below: Job): boolean =>
  above.priority === job.priority && below.priority !== job.priority;

const behind = (above: Job, below: Job | undefined) => ({
  priority: above.priority,
  position:
    below?.priority === above.priority
      ? middle(above.position, below.position)
      : above.position + 1,
});

const ahead = (above: Job | undefined, below: Job) => ({
  priority: below.priority,
  position:
    above?.priority === below.priority
      ? middle(above.position, below.position)
      : below.position - 1,
});

const middle = (a: number, b: number): number => a + (b - a) / 2;

/** Between which rows a point lies: 0 is above the first. */
export function slotAt(y: number, rowHeight: number, count: number): number {
  return Math.max(0, Math.min(count, Math.round(y / rowHeight)));
}

/** The place that a row gets when it is dropped into a slot. */
export function indexOfSlot(slot: number, from: number): number {
  return slot > from ? slot - 1 : slot;
}
