// Values as people write them ("10 to 30 by 5", "4, 8, 15"), made legal.
import { MAX_SEED } from "@/stores/draft";
import type { Legal, Numbers, Value } from "@/views/grid/logic/parameters";

export interface Parsed {
  values: number[];
  /** What was written and is not possible, with what was taken instead. */
  moved: { from: number; to: number }[];
  /** What is no number. */
  unread: string[];
  /** There were more than may be. */
  isCut: boolean;
}

export const MOST_VALUES = 40;
const DIGITS = 4;
const FEW = 5;

const round = (value: number): number => Number(value.toFixed(DIGITS));

/** The legal value next to a wish. */
export function legalise(wish: number, legal: Numbers): number {
  const clamped = Math.min(legal.max, Math.max(legal.min, wish));
  if (legal.step === 0) return round(clamped);
  const nearest = legal.origin + Math.round((clamped - legal.origin) / legal.step) * legal.step;
  if (nearest > legal.max) return round(nearest - legal.step);
  if (nearest < legal.min) return round(nearest + legal.step);
  return round(nearest);
}

const NUMBER = "(\\d+(?:\\.\\d+)?)";
const RANGE = new RegExp(
  `^${NUMBER}\\s*(?:to|until|\\.\\.|-|–|—|:)\\s*${NUMBER}(?:\\s*(?:by|step|in steps of|\\.\\.|/|:)\\s*${NUMBER})?$`,
  "i",
);

/** 1, 2, 5, 10, 20, 50 and so on: the next one that is not smaller. */
export function niceStep(wish: number): number {
  if (!(wish > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(wish));
  const lead = [1, 2, 5, 10].find((each) => each * power >= wish * 0.999_999) ?? 10;
  return lead * power;
}

/** Every value of a range, both ends included where the steps meet the end. */
export function rangeOf(from: number, to: number, by: number | null, legal: Numbers): number[] {
  const [low, high] = from <= to ? [from, to] : [to, from];
  const step = by || Math.max(legal.step, niceStep((high - low) / (FEW - 1)));
  const values: number[] = [];
  for (let at = 0; values.length <= MOST_VALUES; at += 1) {
    const value = round(low + at * step);
    if (value > high + step / 1e6) break;
    values.push(value);
  }
  return from <= to ? values : values.toReversed();
}

export function parseNumbers(text: string, legal: Numbers): Parsed {
  const moved: Parsed["moved"] = [];
  const unread: string[] = [];
  const values = new Set<number>();
  for (const part of text.split(/[,;\n]+/).map((each) => each.trim())) {
    if (part === "") continue;
    const range = RANGE.exec(part);
    const wishes = range
      ? rangeOf(Number(range[1]), Number(range[2]), range[3] ? Number(range[3]) : null, legal)
      : part.split(/\s+/).map(Number);
    if (wishes.some((wish) => !Number.isFinite(wish))) {
      unread.push(part);
      continue;
    }
    for (const wish of wishes) {
      const value = legalise(wish, legal);
      if (value !== wish && !values.has(value)) moved.push({ from: wish, to: value });
      values.add(value);
    }
  }
  const all = [...values];
  return { values: all.slice(0, MOST_VALUES), moved, unread, isCut: all.length > MOST_VALUES };
}

/** Put values to those that are there: each once, numbers in order. */
export function withValues(known: readonly Value[], more: readonly Value[]): Value[] {
  const all = [...new Set([...known, ...more])].slice(0, MOST_VALUES);
  return all.every((value) => typeof value === "number")
    ? (all as number[]).sort((a, b) => a - b)
    : all;
}

/** What of the values a parameter takes; the rest would be refused. */
export function legalOnly(values: readonly Value[], legal: Legal): Value[] {
  if (legal.kind === "choices")
    return values.filter((value) => legal.values.includes(String(value)));
  if (legal.kind === "texts")
    return values.filter((value) => String(value).length <= legal.maxLength);
  return values.filter((value) => typeof value === "number" && legalise(value, legal) === value);
}

export function drawnSeeds(count: number): number[] {
  return Array.from({ length: count }, () => Math.floor(Math.random() * (MAX_SEED + 1)));
}

/** Values to begin with: what the base has, and some around it. */
export function suggested(legal: Legal, fallback: Value | null): Value[] {
  if (legal.kind === "choices") return legal.values.slice(0, 3);
  if (legal.kind === "texts") return fallback === null || fallback === "" ? [] : [fallback];
  const middle = typeof fallback === "number" ? fallback : legal.min;
  if (middle === 0) return [0];
  const wishes = [middle / 2, middle, middle * 1.5].map((wish) =>
    legalise(legal.isInteger ? Math.round(wish) : Math.round(wish * 2) / 2, legal),
  );
  return [...new Set([...wishes, legalise(middle, legal)])].sort((a, b) => a - b);
}
