import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, memo, useCallback, useEffect, useMemo, useRef } from "react";
import type { Job } from "@/api/client";
import { usePlace } from "@/media/measure";
import { useMessages } from "@/messages";
import { type CardHandlers, ResultCard } from "@/views/library/card";
import { layoutFor, moveBy } from "@/views/library/layout";
import { useSelection } from "@/views/library/selection";

const HEADER_PX = 64;
const ROWS_AHEAD = 3;

interface Props {
  jobs: readonly Job[];
  onOpen(id: string): void;
  /** The end comes near: read on. */
  onNearEnd(): void;
}

/** Results as a grid that scrolls with the window; only rows in sight are drawn. */
export const ResultsGrid = memo(function ResultsGrid({ jobs, onOpen, onNearEnd }: Props) {
  const texts = useMessages().library;
  const grid = useRef<HTMLDivElement>(null);
  const { top, width } = usePlace(grid);
  const layout = layoutFor(width);
  const { columns, gap, cardHeight, rowHeight } = layout;
  const numRows = width > 0 ? Math.ceil(jobs.length / columns) : 0;
  const virtual = useWindowVirtualizer({
    count: numRows,
    estimateSize: () => rowHeight,
    overscan: 1,
    scrollMargin: top,
    scrollPaddingStart: HEADER_PX,
    scrollPaddingEnd: HEADER_PX,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: rows are measured anew when their height changes
  useEffect(() => virtual.measure(), [rowHeight]);
  const rows = virtual.getVirtualItems();
  const lastRow = rows.at(-1)?.index ?? 0;
  useEffect(() => {
    if (numRows > 0 && lastRow >= numRows - ROWS_AHEAD) onNearEnd();
  }, [lastRow, numRows, onNearEnd]);

  const order = useRef<readonly Job[]>(jobs);
  order.current = jobs;
  const handlers = useMemo<CardHandlers>(
    () => ({
      onOpen,
      onExtend: (id) =>
        useSelection.getState().extend(
          order.current.map((job) => job.id),
          id,
        ),
    }),
    [onOpen],
  );
  const focusOn = useFocus(grid, (index) => virtual.scrollToIndex(Math.floor(index / columns)));
  useActive(jobs);
  const onKeyDown = (event: KeyboardEvent) => {
    const index = jobs.findIndex((job) => job.id === useSelection.getState().active);
    const isOnCard = (event.target as HTMLElement).hasAttribute("data-card");
    if (!isOnCard || event.ctrlKey || event.metaKey || event.altKey) return;
    const rowsInSight = Math.floor(window.innerHeight / rowHeight);
    const goal = moveBy(event.key, index, { columns, count: jobs.length, rowsInSight });
    const next = goal === null ? undefined : jobs[goal];
    if (goal !== null && next) {
      if (event.shiftKey) handlers.onExtend(next.id);
      focusOn(next.id, goal);
    } else if (event.key === " " && jobs[index]) useSelection.getState().toggle(jobs[index].id);
    else return;
    event.preventDefault();
  };
  return (
    // biome-ignore lint/a11y/useSemanticElements: a table could not be virtual
    <div
      ref={grid}
      role="grid"
      tabIndex={-1}
      aria-label={texts.list}
      aria-rowcount={numRows}
      aria-colcount={columns}
      aria-multiselectable
      className="relative outline-none"
      style={{ height: virtual.getTotalSize() }}
      onKeyDown={onKeyDown}
    >
      {rows.map((row) => (
        // biome-ignore lint/a11y: rows of a grid; the cards in it take the focus
        <div
          key={row.key}
          role="row"
          aria-rowindex={row.index + 1}
          className="absolute inset-x-0 top-0 grid contain-layout contain-style"
          style={{
            height: cardHeight,
            gap,
            gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))`,
            transform: `translateY(${row.start - virtual.options.scrollMargin}px)`,
          }}
        >
          {jobs.slice(row.index * columns, (row.index + 1) * columns).map((job, column) => (
            // biome-ignore lint/a11y: a cell of a grid; its link takes the focus
            <div key={job.id} role="gridcell" aria-colindex={column + 1} className="min-w-0">
              <ResultCard job={job} handlers={handlers} />
            </div>
          ))}
        </div>
      ))}
    </div>
  );
});

/** One card is in the tab order: the last one that was used, else the first. */
function useActive(jobs: readonly Job[]): void {
  useEffect(() => {
    const { active, setActive } = useSelection.getState();
    if (!jobs.some((job) => job.id === active)) setActive(jobs[0]?.id ?? null);
  }, [jobs]);
}

/** Focus a card that may not be drawn yet. */
function useFocus(
  grid: React.RefObject<HTMLElement | null>,
  scrollTo: (index: number) => void,
): (id: string, index: number) => void {
  const wish = useRef<string | null>(null);
  const settle = useCallback(() => {
    const card =
      wish.current && grid.current?.querySelector<HTMLElement>(`[data-card="${wish.current}"]`);
    if (!card) return;
    wish.current = null;
    card.focus({ preventScroll: true });
  }, [grid]);
  useEffect(settle);
  return (id, index) => {
    wish.current = id;
    useSelection.getState().setActive(id);
    scrollTo(index);
    settle();
  };
}
