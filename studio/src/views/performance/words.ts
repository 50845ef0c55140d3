// Names of measures, states and settings as people read them.
import { bytes, duration, number, title } from "@/lib/format";
import { phaseName } from "@/lib/phases";
import type { Messages } from "@/messages";

export function measureName(measure: string, messages: Messages): string {
  const known = messages.performance.measures;
  return measure in known ? known[measure as keyof typeof known] : phaseName(measure, messages);
}

const BYTES = new Set(["peak_memory", "host_memory"]);

/** In what the ticks of a measure's axis are round. */
export const tickUnit = (measure: string): number | undefined =>
  isBytes(measure) ? GIB : undefined;

export const isBytes = (measure: string): boolean => BYTES.has(measure);

export function measureValue(measure: string, value: number | null | undefined): string {
  return isBytes(measure) ? exactBytes(value) : exact(value);
}

const GIB = 2 ** 30;

/** GiB with two places, because 2 % more is news. */
function exactBytes(value: number | null | undefined): string {
  return value != null && value >= GIB ? `${number(value / GIB, 2)} GiB` : bytes(value);
}

const whole = (value: number): number => (value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2);

/** A measured time with three digits, because small differences are what people look for. */
export function exact(seconds: number | null | undefined): string {
  if (seconds == null || !Number.isFinite(seconds)) return "–";
  const s = Math.abs(seconds);
  if (s === 0 || s >= 599.5) return duration(seconds);
  const sign = seconds < 0 ? "−" : "";
  if (s < 0.9995) return `${sign}${number(s * 1000, whole(s * 1000))} ms`;
  return `${sign}${number(s, whole(s))} s`;
}

/** Both ends with three digits, the unit once where they share it. */
export function exactInterval(
  low: number | null | undefined,
  high: number | null | undefined,
): string {
  if (low == null || high == null) return "–";
  const [a, b] = [exact(low), exact(high)];
  if (a === b) return a;
  const unit = / (ms|s)$/;
  return unit.exec(a)?.[1] === unit.exec(b)?.[1] && unit.test(a)
    ? `${a.replace(unit, "")}–${b}`
    : `${a} – ${b}`;
}

export function stateName(state: string | null | undefined, messages: Messages): string {
  const known = messages.performance.jobStates;
  return state != null && state in known ? known[state as keyof typeof known] : (state ?? "–");
}

/** "Video fast" or "Video fast, balanced". */
export function workloadName(jobType: string, preset?: string | null): string {
  return preset && preset !== "baseline" ? `${title(jobType)}, ${preset}` : title(jobType);
}

/** What tells two groups of one job type apart: "480 × 832, 81 frames, 25 steps". */
export function settingsText(settings: Record<string, unknown>, messages: Messages): string {
  const words = messages.performance.settings;
  const { width, height, num_frames, num_images, num_inference_steps, model } = settings;
  const parts: string[] = [];
  if (typeof model === "string") parts.push(model);
  if (typeof width === "number" && typeof height === "number") parts.push(`${width} × ${height}`);
  if (typeof num_frames === "number" && num_frames > 1) parts.push(words.frames(num_frames));
  if (typeof num_images === "number" && num_images > 1) parts.push(words.images(num_images));
  if (typeof num_inference_steps === "number") parts.push(words.steps(num_inference_steps));
  return parts.join(" · ");
}
