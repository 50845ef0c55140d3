// Lengths of videos: only the frame counts that the model makes, told in seconds.
import type { NumericField } from "@/views/create/schema";

const USUAL_S = [1, 2, 3, 5, 8, 10, 15];

export function secondsOf(numFrames: number, fps: number): number {
  return fps > 0 ? numFrames / fps : 0;
}

/** The longest legal clip of no more than `seconds` behind its first frame, or the shortest. */
export function framesWithin(field: NumericField, fps: number, seconds: number): number {
  const most = Math.floor(seconds * fps + 1e-9) + 1; // 81 frames at 16 a second are "5 seconds"
  const steps = Math.floor((Math.min(most, field.max) - field.min) / field.step);
  return field.min + Math.max(0, steps) * field.step;
}

export interface Length {
  seconds: number;
  numFrames: number;
}

/** Usual lengths that the model can make. */
export function usualLengths(field: NumericField, fps: number): Length[] {
  return USUAL_S.map((seconds) => ({
    seconds,
    numFrames: framesWithin(field, fps, seconds),
  })).filter(({ seconds, numFrames }) => Math.abs(secondsOf(numFrames - 1, fps) - seconds) < 0.3);
}
