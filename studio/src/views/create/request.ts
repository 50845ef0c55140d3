// From the draft to what is sent, and back from settings that were read from a file.
import type { Catalogue, JobRequest, JobType, Preset } from "@/api/client";
import { type Draft, requestOf, type Values } from "@/stores/draft";
import { changesOf, fieldsOf } from "@/views/create/schema";
import { stepSeed } from "@/views/create/seeds";

export type Body = Partial<JobRequest> & { prompt: string };

export const MOST_COPIES = 8;

export interface Chosen {
  type: JobType;
  preset: Preset;
}

/** What the draft names, or the nearest thing that this service has. */
export function chosenOf(
  catalogue: Catalogue,
  draft: Pick<Draft, "job_type" | "preset">,
): Chosen | null {
  const { job_types, default_job_type } = catalogue;
  const named = (name: string | null) => job_types.find((each) => each.name === name);
  const type = named(draft.job_type) ?? named(default_job_type) ?? job_types[0];
  const preset = type?.presets.find((each) => each.name === draft.preset) ?? type?.presets[0];
  return type && preset ? { type, preset } : null;
}

/** Only what this job type takes and what its preset does not say: the rest is the service's. */
export function bodyOf(draft: Draft, { type, preset }: Chosen): Body {
  const values = changesOf(type, preset, draft.values);
  const clean: Draft = { ...draft, job_type: type.name, preset: preset.name, values };
  return { ...requestOf(clean, type.name), prompt: draft.prompt.trim() };
}

/** As many jobs of it; with a locked seed each takes those behind the one before it. */
export function copiesOf(body: Body, count: number, numImages: number): Body[] {
  return Array.from({ length: count }, (_, index) =>
    body.seed == null ? body : { ...body, seed: stepSeed(body.seed, index * numImages) },
  );
}

/** What stays when another job type is taken: everything, as long as its models are the same. */
export function retyped(draft: Draft, from: JobType, to: JobType): Draft {
  const has = new Set(fieldsOf(to).map((field) => field.name));
  const kept = Object.entries(draft.values).filter(
    ([name]) => from.family === to.family && has.has(name as keyof Values),
  );
  const preset = to.presets.find((each) => each.name === draft.preset) ?? to.presets[0];
  return {
    ...draft,
    job_type: to.name,
    preset: preset?.name ?? draft.preset,
    values: Object.fromEntries(kept) as Values,
  };
}

/** Settings of a file as a draft; what the file does not say is the default, the prompt stays. */
export function draftOfSettings(settings: Record<string, unknown>, draft: Draft): Draft {
  const text = (name: string): string | null => {
    const value = settings[name];
    return typeof value === "string" ? value : null;
  };
  const { prompt, negative_prompt, job_type, preset, seed, ...others } = settings;
  const values = Object.entries(others).filter(
    ([, value]) => typeof value === "number" || typeof value === "string",
  );
  return {
    prompt: text("prompt") ?? draft.prompt,
    negative_prompt: text("negative_prompt"),
    job_type: text("job_type") ?? draft.job_type,
    preset: text("preset") ?? "baseline",
    seed: typeof seed === "number" ? seed : null,
    values: Object.fromEntries(values) as Values,
  };
}
