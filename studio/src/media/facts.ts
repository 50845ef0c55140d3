// What a job was made with and what was delivered, as names and values: shown, compared, exported.
import type { Job } from "@/api/client";
import { bytes, duration, number, title } from "@/lib/format";
import type { Messages } from "@/messages";

export interface Fact {
  key: string;
  name: string;
  value: string;
}

const LEAST_S = 0.0005; // shorter ones would read as 0 ms

/** Seconds from a job's start to its end: what it took without the wait for its turn. */
export function madeIn(job: Job): number | null {
  const total = job.ledger?.total_s;
  return total == null ? null : Math.max(0, total - (job.ledger?.phases_s.queue_wait ?? 0));
}

/** The ledger's phases from the start on, with what no phase accounts for. */
export function workPhases(job: Job): Record<string, number> {
  const { queue_wait: _, ...phases } = job.ledger?.phases_s ?? job.phases_s;
  const seen = { ...phases, unattributed: job.ledger?.unattributed_s ?? 0 };
  return Object.fromEntries(Object.entries(seen).filter(([, seconds]) => seconds >= LEAST_S));
}

/** The settings that a job was resolved to. */
export function settingFacts(job: Job, messages: Messages): Fact[] {
  const names = messages.parameters;
  const isVideo = job.media_type.startsWith("video/");
  const facts: (Fact | null)[] = [
    { key: "job_type", name: names.job_type, value: title(job.job_type) },
    { key: "preset", name: names.preset, value: title(job.preset) },
    { key: "model", name: names.model, value: job.model },
    { key: "seed", name: names.seed, value: String(job.seed) },
    { key: "size", name: names.size, value: messages.media.pixels(job.width, job.height) },
    isVideo
      ? {
          key: "duration",
          name: names.duration,
          value: `${duration(job.num_frames / job.fps)} · ${messages.media.frames(job.num_frames)}`,
        }
      : null,
    isVideo ? { key: "fps", name: names.fps, value: number(job.fps) } : null,
    job.num_images > 1
      ? { key: "num_images", name: names.num_images, value: number(job.num_images) }
      : null,
    {
      key: "num_inference_steps",
      name: names.num_inference_steps,
      value: number(job.num_inference_steps),
    },
    { key: "guidance_scale", name: names.guidance_scale, value: plain(job.guidance_scale) },
    { key: "scheduler", name: names.scheduler, value: job.scheduler },
    job.flow_shift == null
      ? null
      : { key: "flow_shift", name: names.flow_shift, value: plain(job.flow_shift) },
    { key: "fidelity", name: names.fidelity, value: title(job.fidelity) },
  ];
  return facts.filter((fact) => fact !== null);
}

/** What was read from the delivered files. */
export function deliveredFacts(job: Job, messages: Messages): Fact[] {
  const asset = job.assets[0];
  if (!asset) return [];
  const texts = messages.media;
  const facts: (Fact | null)[] = [
    { key: "media_type", name: texts.fileType, value: fileType(asset.media_type) },
    asset.width && asset.height
      ? {
          key: "size",
          name: messages.parameters.size,
          value: texts.pixels(asset.width, asset.height),
        }
      : null,
    asset.num_frames && asset.num_frames > 1
      ? {
          key: "duration",
          name: messages.parameters.duration,
          value: `${duration(asset.duration_s)} · ${texts.frames(asset.num_frames)}`,
        }
      : null,
    {
      key: "bytes",
      name: texts.fileSize,
      value:
        job.assets.length > 1
          ? `${bytes(job.assets.reduce((sum, each) => sum + each.bytes, 0))} · ${texts.files(job.assets.length)}`
          : bytes(asset.bytes),
    },
  ];
  return facts.filter((fact) => fact !== null);
}

const plain = (value: number): string => number(value, Number.isInteger(value) ? 0 : 1);
const fileType = (mediaType: string): string =>
  (mediaType.split("/")[1] ?? mediaType).toUpperCase();
