import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo } from "react";
import { useLocation, useSearchParams } from "wouter";
import type { Catalogue } from "@/api/client";
import { catalogueQuery } from "@/api/queries";
import { useMessages } from "@/messages";
import { Page } from "@/ui/page";
import { ErrorState, Loading } from "@/ui/states";
import { Axes } from "@/views/grid/builder/axes";
import { Base } from "@/views/grid/builder/base";
import { Recent } from "@/views/grid/builder/recent";
import { problemOf, Summary } from "@/views/grid/builder/summary";
import { useBase } from "@/views/grid/builder/use-base";
import { baseOf } from "@/views/grid/logic/plan";
import { useStartGrid } from "@/views/grid/queries";
import { useGrids } from "@/views/grid/store";

/** Choose what is varied along which axes, and start it. */
export function Builder() {
  const texts = useMessages().grid;
  const { data: catalogue, error, refetch } = useQuery(catalogueQuery);
  useBaseOfAddress();
  return (
    <Page isWide title={texts.title} text={texts.text}>
      {catalogue ? (
        <Form catalogue={catalogue} />
      ) : error ? (
        <ErrorState error={error} onRetry={() => void refetch()} />
      ) : (
        <Loading />
      )}
    </Page>
  );
}

/** /grid?base=JOB starts from that job. */
function useBaseOfAddress(): void {
  const [params, setParams] = useSearchParams();
  const base_job = params.get("base");
  const { setBase } = useGrids();
  useEffect(() => {
    if (base_job === null) return;
    setBase({ isOfJob: true, base_job });
    setParams(new URLSearchParams(), { replace: true });
  }, [base_job, setBase, setParams]);
}

function Form({ catalogue }: { catalogue: Catalogue }) {
  const texts = useMessages().grid;
  const base = useBase(catalogue);
  const { setAxes, remember } = useGrids();
  const [, navigate] = useLocation();
  const start = useStartGrid();
  const { draft, axes } = base;
  const request = useMemo(() => {
    const prompts = axes.find((axis) => axis.name === "prompt")?.values;
    const made = baseOf(draft, axes, catalogue.default_job_type);
    return prompts?.[0] ? { ...made, prompt: String(prompts[0]) } : made;
  }, [draft, axes, catalogue]);
  const submit = () =>
    start.mutate(
      { base: request, axes },
      {
        onSuccess: ({ batch_id, data }) => {
          if (batch_id === null) return;
          remember({
            batch_id,
            at_ms: Date.now(),
            prompt: request.prompt,
            axes,
            num_jobs: data.length,
          });
          navigate(`/grid/${batch_id}`);
        },
      },
    );
  return (
    <div className="grid items-start gap-4 lg:grid-cols-[minmax(0,1fr)_20rem]">
      <div className="flex min-w-0 flex-col gap-4">
        <Base base={base} catalogue={catalogue} />
        <Axes
          axes={axes}
          parameters={base.parameters}
          baseValueOf={base.baseValueOf}
          onChange={setAxes}
        />
      </div>
      <div className="flex min-w-0 flex-col gap-4">
        <Summary
          base={request}
          axes={axes}
          problem={problemOf({ base: request, axes, isReady: base.isReady }, texts)}
          isBusy={start.isPending}
          onStart={submit}
        />
        <Recent />
      </div>
    </div>
  );
}
