// The grid's measures, and where its keys lead.

export const GAP_PX = 16;
const NARROW_GAP_PX = 10;
const CARD_PX = 236;
const NARROW_PX = 520;
/** Below the picture: prompt, phases, time, stars. */
export const TEXT_PX = 124;
const BORDERS_PX = 2;
const ASPECT = 3 / 4;

export interface Layout {
  columns: number;
  gap: number;
  cardWidth: number;
  cardHeight: number;
  /** With the gap below. */
  rowHeight: number;
}

export function layoutFor(width: number): Layout {
  const isNarrow = width < NARROW_PX;
  const gap = isNarrow ? NARROW_GAP_PX : GAP_PX;
  const columns = isNarrow ? 2 : Math.max(2, Math.floor((width + gap) / (CARD_PX + gap)));
  const cardWidth = Math.max(0, (width - gap * (columns - 1)) / columns);
  const cardHeight = Math.round((cardWidth - BORDERS_PX) * ASPECT) + TEXT_PX + BORDERS_PX;
  return { columns, gap, cardWidth, cardHeight, rowHeight: cardHeight + gap };
}

/** Where a key leads from `index`; null: the key is not one that moves. */
export function moveBy(
  key: string,
  index: number,
  { columns, count, rowsInSight }: { columns: number; count: number; rowsInSight: number },
): number | null {
  const page = Math.max(1, rowsInSight) * columns;
  const steps: Record<string, number> = {
    ArrowLeft: -1,
    ArrowRight: 1,
    ArrowUp: -columns,
    ArrowDown: columns,
    PageUp: -page,
    PageDown: page,
  };
  if (count === 0) return null;
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  const step = steps[key];
  if (step === undefined) return null;
  const goal = index + step;
  if (goal < 0) return key === "PageUp" ? index % columns : index;
  if (goal < count) return goal;
  // Below the last full row: its last entry; from the last row nothing is below.
  const isLastRow = Math.floor(index / columns) === Math.floor((count - 1) / columns);
  return isLastRow ? index : count - 1;
}
