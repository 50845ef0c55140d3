import { type KeyboardEvent, useState } from "react";
import type { Job } from "@/api/client";
import { useMessages } from "@/messages";
import { withMoved } from "@/views/queue/reorder";

interface Picked {
  id: string;
  from: number;
  index: number;
}

interface Wish {
  order: readonly Job[];
  onDrop(id: string, index: number): void;
  onMoveFocus(id: string): void;
}

/** Space picks a row up, arrows carry it, Space drops it, Esc puts it back: each step is said. */
export function useKeyboardMove({ order, onDrop, onMoveFocus }: Wish) {
  const texts = useMessages().queue;
  const [taken, setPicked] = useState<Picked | null>(null);
  const [said, setSaid] = useState("");
  const count = order.length;
  // A job that began or was cancelled meanwhile is carried no further.
  const picked = order.some((job) => job.id === taken?.id) ? taken : null;

  const carry = (now: Picked, event: KeyboardEvent): boolean => {
    const goal = goalOf(event.key, now.index, count);
    if (goal !== null) {
      setPicked({ ...now, index: goal });
      setSaid(texts.nowAt(goal + 1, count));
    } else if (event.key === " " || event.key === "Enter") {
      setPicked(null);
      setSaid(texts.dropped(now.index + 1, count));
      onDrop(now.id, now.index);
    } else if (event.key === "Escape") putBack();
    else return false;
    return true;
  };
  const putBack = () => {
    if (!picked) return;
    setPicked(null);
    setSaid(texts.putBack(picked.from + 1));
  };
  const onKey = (event: KeyboardEvent, id: string) => {
    const index = order.findIndex((job) => job.id === id);
    const job = order[index];
    if (!job || event.ctrlKey || event.metaKey || event.altKey) return;
    const goal = goalOf(event.key, index, count);
    if (picked) {
      if (!carry(picked, event)) return;
    } else if (event.key === " ") {
      setPicked({ id, from: index, index });
      setSaid(texts.pickedUp(job.prompt, index + 1, count));
    } else if (goal !== null) {
      const next = order[goal];
      if (next) onMoveFocus(next.id);
    } else return;
    event.preventDefault();
  };
  return {
    picked,
    said,
    say: setSaid,
    /** What is shown while a row is carried. */
    shown: picked ? withMoved(order, picked.id, picked.index) : order,
    onKey,
    putBack,
  };
}

export function goalOf(key: string, index: number, count: number): number | null {
  const goal = { ArrowUp: index - 1, ArrowDown: index + 1, Home: 0, End: count - 1 }[key];
  return goal === undefined ? null : Math.max(0, Math.min(count - 1, goal));
}
