// From the catalogue's JSON Schema of a job type to the fields of a form.
import type { JobType, Preset } from "@/api/client";
import type { Values } from "@/stores/draft";

export type Value = number | string;
export type FieldName = keyof Values;

interface Property {
  type?: string;
  description?: string;
  minimum?: number;
  maximum?: number;
  maxLength?: number;
  multipleOf?: number;
  enum?: string[];
  default?: Value;
  "x-step"?: number;
  "x-unit"?: string;
}

interface Common {
  name: FieldName;
  text: string;
  isAdvanced: boolean;
}

export interface NumericField extends Common {
  kind: "number";
  min: number;
  max: number;
  step: number;
  isWhole: boolean;
  unit: string | null;
}

export interface ChoiceField extends Common {
  kind: "choice";
  options: string[];
}

export type Field = NumericField | ChoiceField;

const PLAIN: readonly string[] = [
  "width",
  "height",
  "num_frames",
  "num_images",
  "num_inference_steps",
];
const ELSEWHERE: readonly string[] = ["prompt", "negative_prompt", "seed"];
const STEPS: Record<string, number> = { guidance_scale: 0.5 };

function properties(type: JobType): Record<string, Property> {
  return (type.json_schema.properties ?? {}) as Record<string, Property>;
}

function fieldOf(name: string, property: Property): Field | null {
  const common: Common = {
    name: name as FieldName,
    text: property.description ?? "",
    isAdvanced: !PLAIN.includes(name),
  };
  if (property.enum) return { ...common, kind: "choice", options: property.enum };
  if (property.type !== "integer" && property.type !== "number") return null;
  const isWhole = property.type === "integer";
  return {
    ...common,
    kind: "number",
    min: property.minimum ?? 0,
    max: property.maximum ?? Number.MAX_SAFE_INTEGER,
    step: property["x-step"] ?? property.multipleOf ?? STEPS[name] ?? (isWhole ? 1 : 0.1),
    isWhole,
    unit: property["x-unit"] ?? null,
  };
}

/** What the form asks for besides prompts and seed, in the schema's order. */
export function fieldsOf(type: JobType): Field[] {
  return Object.entries(properties(type))
    .filter(([name]) => !ELSEWHERE.includes(name))
    .map(([name, property]) => fieldOf(name, property))
    .filter((field) => field !== null);
}

export function numericField(type: JobType, name: FieldName): NumericField | null {
  const found = fieldsOf(type).find((field) => field.name === name);
  return found?.kind === "number" ? found : null;
}

/** The nearest legal value: within the bounds, on the grid that starts at 0 or at the minimum. */
export function snap(field: NumericField, wish: number): number {
  const isGrid = field.isWhole && field.step > 1;
  const origin = field.min % field.step === 0 ? 0 : field.min;
  const onGrid = isGrid ? origin + Math.round((wish - origin) / field.step) * field.step : wish;
  const lowest = isGrid
    ? origin + Math.ceil((field.min - origin) / field.step) * field.step
    : field.min;
  const highest = isGrid
    ? origin + Math.floor((field.max - origin) / field.step) * field.step
    : field.max;
  const value = Math.min(highest, Math.max(lowest, onGrid));
  return field.isWhole ? Math.round(value) : value;
}

export function maxPromptLength(type: JobType): number {
  return properties(type).prompt?.maxLength ?? 4000;
}

export function defaultNegative(preset: Preset): string {
  const text = preset.values.negative_prompt;
  return typeof text === "string" ? text : "";
}

/** What a preset sets, by field. */
export function presetValues(type: JobType, preset: Preset): Values {
  const values: Values = {};
  for (const { name } of fieldsOf(type)) {
    const value = preset.values[name] ?? properties(type)[name]?.default;
    if (typeof value === "number" || typeof value === "string") values[name] = value;
  }
  return values;
}

/** Only what the job type takes and the preset does not say already. */
export function changesOf(type: JobType, preset: Preset, values: Values): Values {
  const base = presetValues(type, preset);
  const changes: Values = {};
  for (const { name } of fieldsOf(type)) {
    const value = values[name];
    if (value !== undefined && value !== base[name]) changes[name] = value;
  }
  return changes;
}
