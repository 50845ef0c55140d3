// Job types by what they make, and which one does the same with or without an enhancer.
import type { JobType } from "@/api/client";

export const GROUPS = ["video", "image", "enhanced"] as const;
export type Group = (typeof GROUPS)[number];

export function isVideo(type: JobType): boolean {
  return type.media_type.startsWith("video/");
}

export function groupOf(type: JobType): Group {
  if (type.is_enhanced) return "enhanced";
  return isVideo(type) ? "video" : "image";
}

export function inGroup(types: readonly JobType[], group: Group): JobType[] {
  return types.filter((type) => groupOf(type) === group);
}

function baseSteps(type: JobType): unknown {
  return type.presets[0]?.values.num_inference_steps;
}

function nearest(types: readonly JobType[], like: JobType): JobType | null {
  const score = (type: JobType): number =>
    (type.media_type === like.media_type ? 4 : 0) +
    (type.family === like.family ? 2 : 0) +
    (baseSteps(type) === baseSteps(like) ? 1 : 0);
  return [...types].sort((a, b) => score(b) - score(a))[0] ?? null;
}

/** The job type whose enhancer serves prompts of `type`: itself, or the most alike. */
export function enhancerOf(types: readonly JobType[], type: JobType): JobType | null {
  if (type.is_enhanced) return type;
  return nearest(
    types.filter((each) => each.is_enhanced),
    type,
  );
}

/** The same job without an enhancer. */
export function plainOf(types: readonly JobType[], type: JobType): JobType | null {
  const alike = types.filter((each) => !each.is_enhanced && each.media_type === type.media_type);
  return nearest(alike, type);
}
