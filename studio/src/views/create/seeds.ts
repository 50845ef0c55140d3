import { MAX_SEED } from "@/stores/draft";

const ALL = MAX_SEED + 1;

export function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
}

/** The seed `by` further on; behind the last comes 0. */
export function stepSeed(seed: number, by = 1): number {
  return (((seed + by) % ALL) + ALL) % ALL;
}

/** What was typed as a seed; null if it is none. */
export function parseSeed(text: string): number | null {
  const seed = /^\d{1,10}$/.test(text.trim()) ? Number(text) : Number.NaN;
  return seed <= MAX_SEED ? seed : null;
}
