// Where a divider goes: by keys as the ARIA pattern for sliders has them, and by pointer.

const STEP = 2;
const BIG_STEP = 10;

const clamp = (percent: number): number => Math.min(100, Math.max(0, percent));

/** The divider's next place, in percent from the left; null: the key means nothing to it. */
export function slidBy(percent: number, key: string, isBig = false): number | null {
  const step = isBig ? BIG_STEP : STEP;
  const moves: Record<string, number> = {
    ArrowLeft: percent - step,
    ArrowDown: percent - step,
    ArrowRight: percent + step,
    ArrowUp: percent + step,
    PageDown: percent - BIG_STEP,
    PageUp: percent + BIG_STEP,
    Home: 0,
    End: 100,
  };
  const next = moves[key];
  return next === undefined ? null : clamp(next);
}

export function slidTo(clientX: number, left: number, width: number): number {
  return width > 0 ? clamp(((clientX - left) / width) * 100) : 50;
}
