// What a job type takes with a preset as it stands: measured where it ran, else expected.
import type { JobType, Preset, Schemas } from "@/api/client";
import { presetValues } from "@/views/create/schema";

type Row = Schemas["MatrixRowAnswer"];
type RatingGroup = Schemas["RatingGroup"];

export interface Speed {
  seconds: number;
  n: number;
  state: string | null;
}

export interface Stars {
  mean: number;
  n: number;
}

const STATES = ["resident", "warm", "cold"];

function rank(row: Row): number {
  const index = STATES.indexOf(row.state ?? "");
  return index < 0 ? STATES.length : index;
}

/** The warmest runs with just this preset's values, of these the group with most runs. */
export function measuredSpeed(rows: readonly Row[], type: JobType, preset: Preset): Speed | null {
  const values = Object.entries(presetValues(type, preset)).filter(([name]) => name !== "fps");
  const isOfPreset = (row: Row): boolean =>
    row.job_type === type.name &&
    row.preset === preset.name &&
    row.real_s !== null &&
    row.n > 0 &&
    values.every(([name, value]) => row.settings[name] === value);
  const [best] = rows.filter(isOfPreset).sort((a, b) => rank(a) - rank(b) || b.n - a.n);
  return best?.real_s == null ? null : { seconds: best.real_s, n: best.n, state: best.state };
}

/** What people gave to this job type, with one preset or with all. */
export function starsOf(
  groups: readonly RatingGroup[],
  jobType: string,
  preset?: string,
): Stars | null {
  let sum = 0;
  let n = 0;
  for (const { group, stars } of groups) {
    if (group.job_type !== jobType || (preset !== undefined && group.preset !== preset)) continue;
    for (const [count, number] of Object.entries(stars)) {
      sum += Number(count) * number;
      n += number;
    }
  }
  return n === 0 ? null : { mean: sum / n, n };
}
