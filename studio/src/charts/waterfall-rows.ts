// Which bars lie in which row. Pure, tested in waterfall-rows.test.ts.
import { PHASES } from "@/lib/phases";

export interface WaterfallSpan {
  phase: string;
  start_s: number;
  /** null: it still runs. */
  end_s: number | null;
  /** Beside what drives the job: drawn hollow. */
  is_background?: boolean;
}

export interface WaterfallBar extends WaterfallSpan {
  end_s: number;
  isOpen: boolean;
}

export interface WaterfallRow {
  phase: string;
  bars: WaterfallBar[];
  /** Seconds in which the phase was under way, overlap counted once. */
  seconds: number;
}

/** One row for each phase, by its first start; equal starts in the ledger's order. */
export function waterfallRows(spans: readonly WaterfallSpan[], now_s: number): WaterfallRow[] {
  const rows = new Map<string, WaterfallBar[]>();
  for (const span of spans) {
    const bar = { ...span, end_s: span.end_s ?? Math.max(now_s, span.start_s), isOpen: false };
    bar.isOpen = span.end_s == null;
    const bars = rows.get(span.phase);
    if (bars) bars.push(bar);
    else rows.set(span.phase, [bar]);
  }
  const rank = (phase: string): number => {
    const index = (PHASES as readonly string[]).indexOf(phase);
    return index < 0 ? PHASES.length : index;
  };
  return [...rows]
    .map(([phase, bars]) => {
      bars.sort((a, b) => a.start_s - b.start_s);
      return { phase, bars, seconds: covered(bars) };
    })
    .sort(
      (a, b) =>
        (a.bars[0]?.start_s ?? 0) - (b.bars[0]?.start_s ?? 0) || rank(a.phase) - rank(b.phase),
    );
}

/** Length of the union of bars that are sorted by their start. */
export function covered(bars: readonly { start_s: number; end_s: number }[]): number {
  let sum = 0;
  let reached = Number.NEGATIVE_INFINITY;
  for (const { start_s, end_s } of bars) {
    if (end_s <= reached) continue;
    sum += end_s - Math.max(start_s, reached);
    reached = end_s;
  }
  return sum;
}

/** Phases that took so long, one behind the other: a waterfall of a record without spans. */
export function spansOf(parts: readonly { phase: string; seconds: number }[]): WaterfallSpan[] {
  let at = 0;
  return parts.map(({ phase, seconds }) => {
    const start_s = at;
    at += seconds;
    return { phase, start_s, end_s: at };
  });
}
