// What a grid will be: its jobs, and how long they will take.
import type { JobRequest, Schemas } from "@/api/client";
import type { Draft } from "@/stores/draft";
import type { Axis, Value } from "@/views/grid/logic/parameters";

export type Base = Partial<JobRequest> & { prompt: string };
export type Point = Record<string, Value>;

export const MOST_JOBS = 500;
export const MOST_ASKED = 12;

/** Every combination of the values, as the service makes them. */
export function pointsOf(axes: readonly Axis[]): Point[] {
  return axes.reduce<Point[]>(
    (points, axis) =>
      points.flatMap((point) => axis.values.map((value) => ({ ...point, [axis.name]: value }))),
    [{}],
  );
}

export function countOf(axes: readonly Axis[]): number {
  return axes.reduce((product, axis) => product * axis.values.length, 1);
}

/**
 * The job that is varied. A preset or job type can only show what it does where the base does not
 * set the same values itself, so these are left out then.
 */
export function baseOf(draft: Draft, axes: readonly Axis[], defaultJobType: string): Base {
  const names = new Set(axes.map((axis) => axis.name));
  const isFree = names.has("preset") || names.has("job_type");
  const own = isFree
    ? {}
    : Object.fromEntries(Object.entries(draft.values).filter(([name]) => !names.has(name)));
  const isNegativeKept = draft.negative_prompt !== null && !names.has("job_type");
  return {
    ...own,
    prompt: draft.prompt,
    job_type: draft.job_type ?? defaultJobType,
    preset: names.has("job_type") ? "baseline" : draft.preset,
    ...(isNegativeKept ? { negative_prompt: draft.negative_prompt } : {}),
    ...(draft.seed === null ? {} : { seed: draft.seed }),
  } as Base;
}

export interface Sample {
  request: Base;
  /** How many jobs of the grid take as long. */
  count: number;
}

// Everything else costs no time.
const COSTLY = [
  "job_type",
  "preset",
  "width",
  "height",
  "num_frames",
  "num_images",
  "num_inference_steps",
  "guidance_scale",
  "fidelity",
] as const;

/** Words and seeds cost no time: without them it need not be asked anew while people type. */
function timedLike({ negative_prompt: _negative, seed: _seed, ...rest }: Base): Base {
  return { ...rest, prompt: "time" };
}

/** One request for each group of jobs that take equally long. */
export function samplesOf(base: Base, axes: readonly Axis[]): Sample[] {
  const samples = new Map<string, Sample>();
  for (const point of pointsOf(axes)) {
    const request = timedLike({ ...base, ...point } as Base);
    const key = JSON.stringify(COSTLY.map((name) => request[name]));
    const known = samples.get(key);
    if (known) known.count += 1;
    else samples.set(key, { request, count: 1 });
  }
  return [...samples.values()];
}

/** At most so many of them, spread evenly, which then stand for the others too. */
export function thinned(samples: readonly Sample[], most: number = MOST_ASKED): Sample[] {
  if (samples.length <= most) return [...samples];
  const all = samples.reduce((sum, sample) => sum + sample.count, 0);
  const chosen = Array.from({ length: most }, (_, at) => {
    const index = Math.round((at * (samples.length - 1)) / (most - 1));
    return samples[index] as Sample;
  });
  const seen = chosen.reduce((sum, sample) => sum + sample.count, 0);
  return chosen.map((sample) => ({ ...sample, count: (sample.count * all) / seen }));
}

type Expected = Schemas["ExpectedTime"];

export interface Estimate {
  total_s: number;
  low_s: number;
  high_s: number;
  /** Some of it rests on no job of this kind that ran here. */
  isRough: boolean;
}

const isLoading = (phase: string): boolean => phase === "startup" || phase.startsWith("load.");

/** All jobs one after the other on so many workers; models are loaded once, not for every job. */
export function estimateOf(
  answers: readonly { sample: Sample; expected: Expected | null }[],
  numWorkers: number,
): Estimate | null {
  const known = answers.filter((each) => each.expected !== null);
  if (known.length === 0) return null;
  const loaded = new Set<string>();
  const sum: Estimate = { total_s: 0, low_s: 0, high_s: 0, isRough: known.length < answers.length };
  for (const { sample, expected } of known) {
    if (!expected) continue;
    const type = sample.request.job_type ?? "";
    const load_s = Object.entries(expected.phases_s)
      .filter(([phase]) => isLoading(phase))
      .reduce((total, [, seconds]) => total + seconds, 0);
    const loads = loaded.has(type) ? 0 : 1;
    loaded.add(type);
    const share = expected.total_s > 0 ? (expected.total_s - load_s) / expected.total_s : 1;
    const times = loads + (sample.count - loads) * share;
    sum.total_s += expected.total_s * times;
    sum.low_s += expected.low_s * times;
    sum.high_s += expected.high_s * times;
    if (expected.basis === "prior") sum.isRough = true;
  }
  const workers = Math.max(1, numWorkers);
  return {
    total_s: sum.total_s / workers,
    low_s: sum.low_s / workers,
    high_s: sum.high_s / workers,
    isRough: sum.isRough,
  };
}
