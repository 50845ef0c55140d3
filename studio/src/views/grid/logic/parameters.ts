// Which parameters a grid may vary, and which values of each are legal: read from the catalogue.
import type { Catalogue, JobType } from "@/api/client";

export type Value = string | number;

export interface Axis {
  name: string;
  values: Value[];
}

/** One of a few names. */
export interface Choices {
  kind: "choices";
  values: string[];
}

export interface Numbers {
  kind: "numbers";
  isInteger: boolean;
  min: number;
  max: number;
  /** Legal values lie this far apart; 0: any. */
  step: number;
  /** A legal value from which the steps are counted. */
  origin: number;
  unit: string | null;
}

export interface Texts {
  kind: "texts";
  maxLength: number;
}

export type Legal = Choices | Numbers | Texts;

export interface Parameter {
  name: string;
  legal: Legal;
  /** What the base has, or the job type's own value. */
  fallback: Value | null;
}

interface Schema {
  type?: string;
  enum?: string[];
  minimum?: number;
  maximum?: number;
  maxLength?: number;
  multipleOf?: number;
  default?: Value;
  "x-step"?: number;
  "x-unit"?: string;
}

// Those that are varied most come first.
const ORDER = [
  "num_inference_steps",
  "guidance_scale",
  "scheduler",
  "preset",
  "job_type",
  "flow_shift",
  "seed",
  "prompt",
  "num_frames",
  "width",
  "height",
  "num_images",
  "fidelity",
  "fps",
  "negative_prompt",
];

const MOST_CHARS = 4000;

export function legalOf(schema: Schema): Legal {
  if (schema.enum) return { kind: "choices", values: schema.enum };
  if (schema.type === "integer" || schema.type === "number") {
    const isInteger = schema.type === "integer";
    const min = schema.minimum ?? 0;
    const step = schema.multipleOf ?? schema["x-step"] ?? (isInteger ? 1 : 0);
    return {
      kind: "numbers",
      isInteger,
      min: schema.multipleOf ? Math.ceil(min / step) * step : min,
      max: schema.maximum ?? Number.MAX_SAFE_INTEGER,
      step,
      origin: schema.multipleOf ? 0 : min,
      unit: schema["x-unit"] ?? null,
    };
  }
  return { kind: "texts", maxLength: schema.maxLength ?? MOST_CHARS };
}

const propertiesOf = (type: JobType): Record<string, Schema> =>
  (type.json_schema.properties ?? {}) as Record<string, Schema>;

/** What all of these job types take, in the order in which it is offered. */
export function parametersOf(catalogue: Catalogue, types: readonly JobType[]): Parameter[] {
  const [first, ...others] = types;
  if (!first) return [];
  const found: Parameter[] = Object.entries(propertiesOf(first))
    .filter(([name]) => others.every((type) => name in propertiesOf(type)))
    .map(([name, schema]) => ({ name, legal: legalOf(schema), fallback: schema.default ?? null }));
  const presets = first.presets
    .map((preset) => preset.name)
    .filter((name) => others.every((type) => type.presets.some((each) => each.name === name)));
  if (presets.length > 1)
    found.push({
      name: "preset",
      legal: { kind: "choices", values: presets },
      fallback: "baseline",
    });
  found.push({
    name: "job_type",
    legal: { kind: "choices", values: alike(catalogue, first) },
    fallback: first.name,
  });
  const rank = (name: string) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
  return found.sort((a, b) => rank(a.name) - rank(b.name));
}

/** Job types whose files are of one kind: others can't be set side by side. */
function alike(catalogue: Catalogue, type: JobType): string[] {
  return catalogue.job_types
    .filter((each) => each.media_type === type.media_type)
    .map((each) => each.name);
}

/** The job types that a grid runs: the axis', or the base's. */
export function typesOf(catalogue: Catalogue, axes: readonly Axis[], base: string): JobType[] {
  const names = axes.find((axis) => axis.name === "job_type")?.values ?? [];
  const wished = names.length > 0 ? names : [base];
  return catalogue.job_types.filter((type) => wished.includes(type.name));
}
