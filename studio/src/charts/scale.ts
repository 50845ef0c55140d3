// From values to pixels, and where an axis gets its ticks. Pure, tested in scale.test.ts.
import { number } from "@/lib/format";
import { dateFormat } from "@/lib/intl";

export interface Scale {
  (value: number): number;
  /** The value at a pixel. */
  invert(pixel: number): number;
  readonly domain: readonly [number, number];
  readonly range: readonly [number, number];
}

/** A linear scale; a domain without extent lies in the middle of the range. */
export function linearScale(
  domain: readonly [number, number],
  range: readonly [number, number],
): Scale {
  const [d0, d1] = domain;
  const [r0, r1] = range;
  const span = d1 - d0;
  const scale = (value: number) =>
    span === 0 ? (r0 + r1) / 2 : r0 + ((value - d0) / span) * (r1 - r0);
  const invert = (pixel: number) => (r1 === r0 ? d0 : d0 + ((pixel - r0) / (r1 - r0)) * span);
  return Object.assign(scale, { invert, domain, range });
}

/** 1, 2 or 5 times a power of ten, so that about `count` steps fit into `span`. */
export function niceStep(span: number, count: number): number {
  if (!(span > 0) || !Number.isFinite(span)) return 1;
  const rough = span / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const share = rough / power;
  return power * (share < 1.42 ? 1 : share < 3.17 ? 2 : share < 7.08 ? 5 : 10);
}

const multiples = (min: number, max: number, step: number): number[] => {
  const first = Math.ceil(min / step - 1e-9);
  const last = Math.floor(max / step + 1e-9);
  const found: number[] = [];
  for (let index = first; index <= last && found.length < 100; index += 1)
    found.push(Number((index * step).toPrecision(12)));
  return found;
};

/** Round values within [min, max], about `count` of them. */
export function ticks(min: number, max: number, count = 5): number[] {
  return multiples(min, max, niceStep(max - min, count));
}

const TIME_STEPS_S = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400,
];

/** As `ticks`, for seconds: above half a minute in steps that clocks have. */
export function durationTicks(min: number, max: number, count = 5): number[] {
  const span = max - min;
  if (span <= 30) return ticks(min, max, count);
  const step = TIME_STEPS_S.find((each) => span / each <= count + 0.5) ?? niceStep(span, count);
  return multiples(min, max, step);
}

/** A duration on an axis: short, with as many digits as the distance between ticks needs. */
export function tickDuration(seconds: number, step: number): string {
  if (seconds === 0) return "0";
  if (step < 0.01) return `${number(seconds * 1000, digitsOf(step * 1000))} ms`;
  if (Math.abs(seconds) < 60) return `${number(seconds, digitsOf(step))} s`;
  const whole = Math.round(Math.abs(seconds));
  const sign = seconds < 0 ? "−" : "";
  if (whole >= 3600) {
    const minutes = Math.round((whole % 3600) / 60);
    return `${sign}${Math.floor(whole / 3600)} h${minutes ? ` ${minutes} min` : ""}`;
  }
  return `${sign}${Math.floor(whole / 60)} min${whole % 60 ? ` ${whole % 60} s` : ""}`;
}

/** Decimal places that tell values of this distance apart. */
export function digitsOf(step: number): number {
  if (!(step > 0) || step >= 1) return 0;
  return Math.min(6, Math.ceil(-Math.log10(step) - 1e-9));
}

/** Lowest and highest of the finite values; null if there is none. */
export function extent(values: Iterable<number | null | undefined>): [number, number] | null {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (value == null || !Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : null;
}

interface DomainOptions {
  /** Begin at zero, as bars must. */
  hasZero?: boolean;
  /** Air above and below, as a share of the extent. */
  pad?: number;
}

/** What an axis shows of these values: never empty, never below zero if they are not. */
export function domainOf(
  values: Iterable<number | null | undefined>,
  { hasZero = false, pad = 0.08 }: DomainOptions = {},
): [number, number] {
  const found = extent(values);
  if (!found) return [0, 1];
  const [low, high] = found;
  const air = (high - low || Math.abs(high) || 1) * pad;
  const bottom = hasZero ? Math.min(0, low) : low >= 0 ? Math.max(0, low - air) : low - air;
  const top = high + air;
  return top > bottom ? [bottom, top] : [bottom, bottom + 1];
}

const DAY_MS = 86_400_000;
const TIME_STEPS_MS = [
  1000,
  5000,
  15_000,
  30_000,
  60_000,
  300_000,
  900_000,
  1_800_000,
  3_600_000,
  10_800_000,
  21_600_000,
  43_200_000,
  DAY_MS,
  2 * DAY_MS,
  7 * DAY_MS,
  14 * DAY_MS,
  30 * DAY_MS,
  91 * DAY_MS,
  182 * DAY_MS,
  365 * DAY_MS,
];

/** Moments on round local times between two moments (in ms). */
export function timeTicks(from: number, to: number, count = 6): number[] {
  const span = to - from;
  if (!(span > 0)) return [from];
  const step = TIME_STEPS_MS.find((each) => span / each <= count) ?? 365 * DAY_MS;
  const offset = new Date(from).getTimezoneOffset() * 60_000;
  return multiples(from - offset, to - offset, step).map((at) => at + offset);
}

/** A moment on an axis whose ticks span `spanMs`. */
export function tickMoment(at: number, spanMs: number): string {
  const language = document.documentElement.lang || undefined;
  const options: Intl.DateTimeFormatOptions =
    spanMs < 120_000
      ? { hour: "2-digit", minute: "2-digit", second: "2-digit" }
      : spanMs < 1.5 * DAY_MS
        ? { hour: "2-digit", minute: "2-digit" }
        : spanMs < 300 * DAY_MS
          ? { day: "numeric", month: "short" }
          : { month: "short", year: "numeric" };
  return dateFormat(language, options).format(at);
}

/** Keep those labels that don't touch the one before: `at` in pixels, in order. */
export function thinned<T>(
  items: readonly T[],
  at: (item: T) => number,
  minDistance: number,
): readonly T[] {
  const kept: T[] = [];
  let last = Number.NEGATIVE_INFINITY;
  for (const item of items) {
    const place = at(item);
    if (place - last < minDistance) continue;
    kept.push(item);
    last = place;
  }
  return kept;
}

/** The index of the value nearest to `wanted` in an ascending list; -1 if it is empty. */
export function nearest(sorted: readonly number[], wanted: number): number {
  let low = 0;
  let high = sorted.length - 1;
  if (high < 0) return -1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? 0) <= wanted) low = middle;
    else high = middle;
  }
  const [a, b] = [sorted[low] ?? 0, sorted[high] ?? 0];
  return Math.abs(b - wanted) < Math.abs(wanted - a) ? high : low;
}

/** Always the same place between -1 and 1 for the same name: dots that don't jump. */
export function jitter(name: string): number {
  let hash = 2166136261;
  for (let index = 0; index < name.length; index += 1) {
    hash ^= name.charCodeAt(index);
    hash = Math.imul(hash, 16777619);
  }
  return ((hash >>> 0) / 2 ** 32) * 2 - 1;
}
