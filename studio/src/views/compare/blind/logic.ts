// Blind tests: what is still to be voted on, and what votes say. Pure.
import type { Asset } from "@/api/client";
import type { BlindTest } from "@/views/compare/queries";
import type { Source } from "@/views/compare/stage/source";

/** Tests with files on both sides and without your vote, oldest first, as they were made. */
export function openTests(tests: readonly BlindTest[]): BlindTest[] {
  return tests
    .filter((test) => test.choice === null && test.a.length > 0 && test.b.length > 0)
    .toReversed();
}

/** The one to vote on after another: the next one behind it, else the first. */
export function nextTest(open: readonly BlindTest[], after: string | null): BlindTest | null {
  const others = open.filter((test) => test.id !== after);
  return others.find((test) => after === null || test.id > after) ?? others[0] ?? null;
}

/** The two sides as things to look at: nothing in them says what they are. */
export function sidesOf(
  test: BlindTest,
  index: number,
  names: readonly [string, string],
): Source[] {
  return [
    { side: test.a, name: names[0], key: "a" },
    { side: test.b, name: names[1], key: "b" },
  ].flatMap(({ side, name, key }) => {
    const file = side[Math.min(index, side.length - 1)];
    return file ? [{ key, name, alt: "", asset: assetOf(file.url, file.media_type) }] : [];
  });
}

// The service tells nothing of a side's file but its kind; this address needs no renewal.
function assetOf(url: string, media_type: string): Asset {
  return {
    id: url,
    job_id: "",
    index: 0,
    media_type,
    bytes: 0,
    width: null,
    height: null,
    num_frames: null,
    fps: null,
    duration_s: null,
    seed: null,
    url,
    thumbnail_url: null,
    url_expires_at: "9999-12-31T00:00:00+00:00",
    created_at: "",
  };
}

export interface SettingPair {
  name: string;
  a: string;
  b: string;
}

export function textOf(value: unknown): string {
  if (value === null || value === undefined) return "–";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Settings in which two sides differ, in the first's order. */
export function differing(a: Record<string, unknown>, b: Record<string, unknown>): SettingPair[] {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])]
    .map((name) => ({ name, a: textOf(a[name]), b: textOf(b[name]) }))
    .filter((pair) => pair.a !== pair.b);
}
