import { type PointerEvent as Press, type RefObject, useEffect, useRef, useState } from "react";
import { indexOfSlot, slotAt } from "@/views/queue/reorder";

export interface Drag {
  id: string;
  from: number;
  /** Between which rows it would be dropped. */
  slot: number;
  /** How far it was carried. */
  dy: number;
}

const EDGE_PX = 72;
const MOST_PX = 14;

interface Wish {
  list: RefObject<HTMLElement | null>;
  rowHeight: number;
  count: number;
  onDrop(id: string, index: number): void;
}

/** Carry a row with mouse, pen or finger; the window scrolls at its edges; Esc puts it back. */
export function useDrag(wish: Wish) {
  const [drag, setDrag] = useState<Drag | null>(null);
  const latest = useRef(wish);
  latest.current = wish;
  const stop = useRef<(() => void) | null>(null);
  useEffect(() => () => stop.current?.(), []);

  const start = (event: Press, id: string, from: number) => {
    if (event.button !== 0) return;
    stop.current?.();
    const startY = event.clientY + window.scrollY;
    let clientY = event.clientY;
    let now: Drag = { id, from, slot: from, dy: 0 };
    let frame = 0;
    const look = () => {
      const { list, rowHeight, count } = latest.current;
      const top = list.current?.getBoundingClientRect().top ?? 0;
      now = {
        ...now,
        slot: slotAt(clientY - top, rowHeight, count),
        dy: clientY + window.scrollY - startY,
      };
      setDrag(now);
    };
    const scroll = () => {
      const below = clientY - (window.innerHeight - EDGE_PX);
      const above = EDGE_PX + 52 - clientY;
      const speed = Math.min(MOST_PX, Math.max(below, above) / 4);
      if (speed > 0) {
        window.scrollBy(0, below > 0 ? speed : -speed);
        look();
      }
      frame = requestAnimationFrame(scroll);
    };
    const move = (next: PointerEvent) => {
      clientY = next.clientY;
      look();
    };
    const end = (isDropped: boolean) => {
      stop.current?.();
      if (isDropped) latest.current.onDrop(id, indexOfSlot(now.slot, from));
    };
    const up = () => end(Math.abs(now.dy) > 4);
    const cancel = () => end(false);
    const key = (pressed: KeyboardEvent) => {
      if (pressed.key !== "Escape") return;
      pressed.preventDefault();
      end(false);
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", up);
    window.addEventListener("pointercancel", cancel);
    window.addEventListener("keydown", key, true);
    frame = requestAnimationFrame(scroll);
    stop.current = () => {
      cancelAnimationFrame(frame);
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", up);
      window.removeEventListener("pointercancel", cancel);
      window.removeEventListener("keydown", key, true);
      stop.current = null;
      setDrag(null);
    };
    setDrag(now);
  };
  return { drag, start };
}
