import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import type { Catalogue, Job } from "@/api/client";
import { jobQuery } from "@/api/queries";
import { type Draft, draftOf, takenBy, useDraft } from "@/stores/draft";
import {
  type Axis,
  legalOf,
  type Parameter,
  parametersOf,
  typesOf,
  type Value,
} from "@/views/grid/logic/parameters";
import { legalOnly } from "@/views/grid/logic/values";
import { useGrids } from "@/views/grid/store";

export interface BaseState {
  draft: Draft;
  job: Job | null;
  /** null: a result is to be chosen. */
  isReady: boolean;
  isGone: boolean;
  job_type: string;
  parameters: Parameter[];
  /** Axes as they are kept, without what this base does not take. */
  axes: Axis[];
  baseValueOf(parameter: Parameter): Value | null;
}

/** What is varied, and what of it may be. */
export function useBase(catalogue: Catalogue): BaseState {
  const { draft: ownDraft } = useDraft();
  const { isOfJob, base_job, axes: keptAxes } = useGrids();
  const found = useQuery({ ...jobQuery(base_job ?? ""), enabled: isOfJob && base_job !== null });
  const job = isOfJob ? (found.data ?? null) : null;
  return useMemo(() => {
    const draft = job ? draftOf(job, takenBy(catalogue, job)) : ownDraft;
    const job_type = draft.job_type ?? catalogue.default_job_type;
    const own = catalogue.job_types.find((type) => type.name === job_type);
    const parameters = parametersOf(catalogue, typesOf(catalogue, keptAxes, job_type));
    const axes = keptAxes.flatMap((axis) => {
      const legal = parameters.find((each) => each.name === axis.name)?.legal;
      return legal ? [{ ...axis, values: legalOnly(axis.values, legal) }] : [];
    });
    const preset = own?.presets.find((each) => each.name === draft.preset);
    const baseValueOf = ({ name, fallback }: Parameter): Value | null => {
      const wished: Record<string, unknown> = { ...draft, ...draft.values, job_type };
      const value = wished[name] ?? preset?.values[name] ?? fallback;
      return typeof value === "string" || typeof value === "number" ? value : null;
    };
    return {
      draft: { ...draft, values: legalValues(own, draft.values) },
      job,
      isReady: !isOfJob || job !== null,
      isGone: isOfJob && base_job !== null && found.isError,
      job_type,
      parameters,
      axes,
      baseValueOf,
    };
  }, [catalogue, ownDraft, isOfJob, base_job, keptAxes, job, found.isError]);
}

/** The draft's values without those that the job type refuses. */
function legalValues(type: Catalogue["job_types"][number] | undefined, values: Draft["values"]) {
  const schemas = (type?.json_schema.properties ?? {}) as Record<
    string,
    Parameters<typeof legalOf>[0]
  >;
  return Object.fromEntries(
    Object.entries(values).filter(([name, value]) => {
      const schema = schemas[name];
      return schema !== undefined && legalOnly([value], legalOf(schema)).length > 0;
    }),
  );
}
