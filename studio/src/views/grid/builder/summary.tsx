import { useQuery } from "@tanstack/react-query";
import { Play } from "lucide-react";
import { useMemo } from "react";
import { queueQuery } from "@/api/queries";
import { duration, number } from "@/lib/format";
import { useShortcut } from "@/lib/shortcuts";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { Section } from "@/ui/card";
import { Skeleton } from "@/ui/states";
import type { Axis } from "@/views/grid/logic/parameters";
import { type Base, countOf, MOST_JOBS, samplesOf, thinned } from "@/views/grid/logic/plan";
import { useExpectation } from "@/views/grid/queries";

interface Props {
  base: Base;
  axes: readonly Axis[];
  /** Why it can't be started; null: it can. */
  problem: string | null;
  isBusy: boolean;
  onStart(): void;
}

/** How many jobs that makes and how long they will take, before they are started. */
export function Summary({ base, axes, problem, isBusy, onStart }: Props) {
  const texts = useMessages().grid;
  const count = countOf(axes);
  useShortcut(
    { keys: "mod+enter", label: texts.keyStart, scope: "here" },
    onStart,
    problem === null && !isBusy,
  );
  return (
    <Section id="plan" title={texts.plan}>
      <p className="numeric text-2xl font-semibold tracking-tight">
        {axes.length > 0 && count > 0 ? texts.jobs(count) : "–"}
      </p>
      {axes.length > 1 && count > 0 && (
        <p className="numeric text-[13px] text-muted">
          {axes.map((axis) => number(axis.values.length)).join(" × ")}
        </p>
      )}
      <div className="mt-4 mb-5 min-h-16">
        {problem === null && <Expected base={base} axes={axes} />}
        {problem !== null && <p className="text-sm text-muted">{problem}</p>}
      </div>
      <Button
        variant="primary"
        size="lg"
        className="w-full"
        icon={<Play size={16} />}
        isBusy={isBusy}
        disabled={problem !== null}
        onClick={onStart}
      >
        {problem === null ? texts.start(count) : texts.startNone}
      </Button>
    </Section>
  );
}

export function problemOf(
  { base, axes, isReady }: { base: Base; axes: readonly Axis[]; isReady: boolean },
  texts: {
    needsJob: string;
    needsPrompt: string;
    needsAxes: string;
    needsValues: string;
    tooMany(most: number): string;
  },
): string | null {
  const count = countOf(axes);
  if (!isReady) return texts.needsJob;
  if (base.prompt.trim() === "" && !axes.some((axis) => axis.name === "prompt"))
    return texts.needsPrompt;
  if (axes.some((axis) => axis.values.length === 0)) return texts.needsValues;
  if (axes.length === 0 || count < 2) return texts.needsAxes;
  return count > MOST_JOBS ? texts.tooMany(MOST_JOBS) : null;
}

function Expected({ base, axes }: { base: Base; axes: readonly Axis[] }) {
  const texts = useMessages().grid;
  const { data: queue } = useQuery(queueQuery);
  const samples = useMemo(() => thinned(samplesOf(base, axes)), [base, axes]);
  const { estimate, position, isLoading } = useExpectation(samples, queue?.num_workers ?? 1);
  if (isLoading && !estimate) return <Skeleton className="h-14" />;
  if (!estimate) return <p className="text-sm text-muted">{texts.noTime}</p>;
  return (
    <dl aria-live="polite">
      <dt className="text-xs text-muted">{texts.expected}</dt>
      <dd className="numeric mt-0.5 text-lg font-semibold tracking-tight">
        {duration(estimate.total_s)}
      </dd>
      <dd className="numeric text-[13px] text-muted">
        {texts.between(duration(estimate.low_s), duration(estimate.high_s))}
      </dd>
      {estimate.isRough && <dd className="mt-1 text-[13px] text-muted">{texts.rough}</dd>}
      {position > 0 && <dd className="mt-1 text-[13px] text-muted">{texts.waits(position)}</dd>}
    </dl>
  );
}
