// One clock for several videos: each follows it, none follows another. Pure: time comes from outside.

export interface Clip {
  duration_s: number;
  fps: number;
}

export interface Clock {
  /** Where it stood when it was last set. */
  at_s: number;
  /** Since when it runs, in milliseconds of the page; null: it stands. */
  since_ms: number | null;
  speed: number;
  isLooped: boolean;
}

export const SPEEDS = [0.25, 0.5, 1] as const;
export const FALLBACK_FPS = 16;
export const STILL: Clock = { at_s: 0, since_ms: null, speed: 1, isLooped: true };

/** The time shown: in the span; wrapped where it loops, else held at the end. */
export function timeAt(clock: Clock, span_s: number, nowMs: number): number {
  const run_s = clock.since_ms === null ? 0 : ((nowMs - clock.since_ms) / 1000) * clock.speed;
  const at = clock.at_s + Math.max(0, run_s);
  if (span_s <= 0) return 0;
  if (at < span_s) return at;
  return clock.isLooped && clock.since_ms !== null ? at % span_s : span_s;
}

export function hasEnded(clock: Clock, span_s: number, nowMs: number): boolean {
  return (
    clock.since_ms !== null &&
    !clock.isLooped &&
    span_s > 0 &&
    timeAt(clock, span_s, nowMs) >= span_s
  );
}

export function play(clock: Clock, span_s: number, nowMs: number): Clock {
  if (clock.since_ms !== null) return clock;
  return { ...clock, at_s: clock.at_s >= span_s ? 0 : clock.at_s, since_ms: nowMs };
}

export function pause(clock: Clock, span_s: number, nowMs: number): Clock {
  return { ...clock, at_s: timeAt(clock, span_s, nowMs), since_ms: null };
}

/** Set something without a jump in the time shown. */
export function change(
  clock: Clock,
  span_s: number,
  nowMs: number,
  to: Partial<Pick<Clock, "at_s" | "speed" | "isLooped">>,
): Clock {
  const now = { ...clock, at_s: timeAt(clock, span_s, nowMs), ...to };
  return { ...now, since_ms: clock.since_ms === null ? null : nowMs };
}

/** The longest; shorter ones wait at their last frame. */
export function spanOf(clips: readonly Clip[]): number {
  return Math.max(0, ...clips.map((clip) => clip.duration_s).filter(Number.isFinite));
}

/** The shortest frame of all: a step shows every frame of the fastest. */
export function frameOf(clips: readonly Clip[]): number {
  return 1 / Math.max(...clips.map((clip) => clip.fps), 1);
}

const GRID_ERROR = 1e-6;

/** The time some frames on or back, on the frames' own grid. */
export function stepped(at_s: number, by: number, clips: readonly Clip[]): number {
  const frame = frameOf(clips);
  const last = Math.max(0, Math.round(spanOf(clips) / frame) - 1);
  const now = Math.floor(at_s / frame + GRID_ERROR);
  return Math.min(last, Math.max(0, now + by)) * frame;
}

export function frameAt(clip: Clip, at_s: number): number {
  const last = Math.max(0, Math.round(clip.duration_s * clip.fps) - 1);
  return Math.min(last, Math.max(0, Math.floor(at_s * clip.fps + GRID_ERROR)));
}

/** Where to put a standing video: the middle of a frame, so that decoders agree on which it is. */
export function restOf(clip: Clip, at_s: number): number {
  return (frameAt(clip, at_s) + 0.5) / clip.fps;
}

export type Correction =
  | { kind: "run"; rate: number }
  | { kind: "seek"; to_s: number }
  | { kind: "rest"; to_s: number };

const MOST_NUDGE = 0.2;
const NUDGE_WITHIN_S = 0.25;
const NUDGED_FRAMES = 1;

/** What a running video has to do to be in step: run on, a little faster or slower, or jump. */
export function correction(clip: Clip, current_s: number, at_s: number, speed: number): Correction {
  const frame = 1 / clip.fps;
  if (at_s >= clip.duration_s - frame / 2) return { kind: "rest", to_s: restOf(clip, at_s) };
  const drift = current_s - at_s;
  if (Math.abs(drift) > NUDGED_FRAMES * frame) return { kind: "seek", to_s: at_s };
  if (Math.abs(drift) < frame / 8) return { kind: "run", rate: speed };
  const nudge = Math.min(MOST_NUDGE, Math.max(-MOST_NUDGE, -drift / NUDGE_WITHIN_S));
  return { kind: "run", rate: speed * (1 + nudge) };
}
