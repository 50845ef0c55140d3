// What a preset makes of a job type, in a few words.
import { duration, number } from "@/lib/format";
import type { Messages } from "@/messages";
import type { Values } from "@/stores/draft";
import { secondsOf } from "@/views/create/frames";

/** Size, length, steps, scheduler and images of these values; texts of `create`. */
export function summaryOf(values: Values, texts: Messages["create"]): string[] {
  const { width, height, num_frames, fps, num_images, num_inference_steps, scheduler } = values;
  const parts: string[] = [];
  if (num_inference_steps !== undefined)
    parts.push(texts.presets.steps(number(Number(num_inference_steps))));
  if (num_frames !== undefined && fps !== undefined)
    parts.push(duration(secondsOf(Number(num_frames), Number(fps))));
  if (num_images !== undefined) parts.push(texts.presets.images(Number(num_images)));
  if (width !== undefined && height !== undefined)
    parts.push(texts.settings.size(Number(width), Number(height)));
  if (scheduler !== undefined) parts.push(texts.choices[scheduler] ?? String(scheduler));
  return parts;
}
