import { defaultRangeExtractor, type Range, useWindowVirtualizer } from "@tanstack/react-virtual";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import type { Job } from "@/api/client";
import { usePlace } from "@/media/measure";
import { useMessages } from "@/messages";
import { cx } from "@/ui/cx";
import { type Drag, useDrag } from "@/views/queue/use-drag";
import { useKeyboardMove } from "@/views/queue/use-keyboard-move";
import { useReorder } from "@/views/queue/use-reorder";
import { type RowHandlers, WaitingRow } from "@/views/queue/waiting-row";

export const ROW_PX = 64;
const SETTLE_MS = 250;

/** The waiting jobs in their order; only the rows in sight are drawn. */
export function WaitingList({ order }: { order: readonly Job[] }) {
  const texts = useMessages().queue;
  const list = useRef<HTMLOListElement>(null);
  const [active, setActive] = useState<string | null>(null);
  const focusWish = useRef<string | null>(null);
  const reorder = useReorder(order);
  const { drag, start } = useDrag({
    list,
    rowHeight: ROW_PX,
    count: order.length,
    onDrop: (id, index) => {
      if (reorder(id, index)) keyboard.say(texts.dropped(index + 1, order.length));
    },
  });
  const keyboard = useKeyboardMove({
    order,
    onDrop: reorder,
    onMoveFocus: (id) => {
      focusWish.current = id;
      setActive(id);
      virtual.scrollToIndex(order.findIndex((job) => job.id === id));
    },
  });
  const { shown, picked } = keyboard;
  const { virtual, isSettled } = useRows(list, shown, drag?.from ?? picked?.index ?? null);
  const activeId = order.some((job) => job.id === active) ? active : (order[0]?.id ?? null);
  const handlers = useStableHandlers({
    onPress: (event, id) => {
      start(
        event,
        id,
        order.findIndex((job) => job.id === id),
      );
    },
    onKey: keyboard.onKey,
    onFocus: setActive,
    onLeave: (id) => {
      if (picked?.id === id && document.hasFocus()) keyboard.putBack();
    },
    moveTo: (id, index) => {
      if (reorder(id, index)) keyboard.say(texts.dropped(index + 1, order.length));
    },
  });
  useEffect(() => {
    const id = focusWish.current;
    if (!id) return;
    const handle = list.current?.querySelector<HTMLElement>(`[data-handle="${id}"]`);
    if (!handle) return;
    focusWish.current = null;
    handle.focus({ preventScroll: true });
  });
  useEffect(() => {
    if (picked) virtual.scrollToIndex(picked.index);
  }, [picked, virtual]);
  return (
    <>
      <ol
        ref={list}
        aria-label={texts.waiting}
        className="relative"
        style={{ height: virtual.getTotalSize() }}
      >
        {virtual.getVirtualItems().map((item) => {
          const job = shown[item.index];
          if (!job) return null;
          const isLifted = drag?.id === job.id || picked?.id === job.id;
          return (
            <li
              key={job.id}
              aria-posinset={item.index + 1}
              aria-setsize={shown.length}
              className={cx("absolute inset-x-0 top-0", isLifted && "z-10")}
              style={{ height: ROW_PX, transform: rowAt(item.index, drag, job.id) }}
            >
              <WaitingRow
                job={job}
                index={item.index}
                count={shown.length}
                isActive={job.id === activeId}
                isLifted={isLifted}
                isSettled={isSettled}
                handlers={handlers}
              />
            </li>
          );
        })}
        {drag && <DropLine slot={drag.slot} />}
      </ol>
      <p aria-live="assertive" className="sr-only">
        {keyboard.said}
      </p>
    </>
  );
}

function DropLine({ slot }: { slot: number }) {
  return (
    <li
      aria-hidden
      className="pointer-events-none absolute inset-x-0 top-0 z-20 -mt-px h-0.5 bg-accent before:absolute before:-top-1 before:-left-1 before:size-2.5 before:rounded-full before:border-2 before:border-accent before:bg-surface"
      style={{ transform: `translateY(${slot * ROW_PX}px)` }}
    />
  );
}

function rowAt(index: number, drag: Drag | null, id: string): string {
  return `translateY(${index * ROW_PX + (drag?.id === id ? drag.dy : 0)}px)`;
}

/** Rows in sight, and the one that is carried: it must not vanish under the pointer. */
function useRows(
  list: React.RefObject<HTMLElement | null>,
  shown: readonly Job[],
  kept: number | null,
) {
  const { top } = usePlace(list);
  const rangeExtractor = useCallback(
    (range: Range) => {
      const seen = defaultRangeExtractor(range);
      return kept === null || seen.includes(kept) ? seen : [...seen, kept].sort((a, b) => a - b);
    },
    [kept],
  );
  const virtual = useWindowVirtualizer({
    count: shown.length,
    estimateSize: () => ROW_PX,
    overscan: 6,
    scrollMargin: top,
    scrollPaddingStart: 64,
    scrollPaddingEnd: 72,
    rangeExtractor,
    getItemKey: (index) => shown[index]?.id ?? index,
  });
  const [isSettled, setIsSettled] = useState(false);
  const { isScrolling } = virtual;
  useEffect(() => {
    if (isScrolling) return setIsSettled(false);
    const timer = setTimeout(() => setIsSettled(true), SETTLE_MS);
    return () => clearTimeout(timer);
  }, [isScrolling]);
  return { virtual, isSettled };
}

/** One object for all rows, so that a change here draws none of them anew. */
function useStableHandlers(handlers: RowHandlers): RowHandlers {
  const latest = useRef(handlers);
  latest.current = handlers;
  return useMemo<RowHandlers>(
    () => ({
      onPress: (event, id) => latest.current.onPress(event, id),
      onKey: (event, id) => latest.current.onKey(event, id),
      onFocus: (id) => latest.current.onFocus(id),
      onLeave: (id) => latest.current.onLeave(id),
      moveTo: (id, index) => latest.current.moveTo(id, index),
    }),
    [],
  );
}
