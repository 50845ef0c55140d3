import { useQuery } from "@tanstack/react-query";
import { CircleAlert } from "lucide-react";
import { useSearchParams } from "wouter";
import { moment, title } from "@/lib/format";
import { useMessages } from "@/messages";
import { Section } from "@/ui/card";
import { Field, Select } from "@/ui/field";
import { Empty, ErrorState, Skeleton } from "@/ui/states";
import { ActiveRun } from "./active-run";
import { CompareRuns } from "./compare-runs";
import { activeRunQuery, type Brief, runsQuery, type Started, useRunInStep } from "./queries";
import { RunList } from "./run-list";
import { RunReport } from "./run-report";
import { StartForm } from "./start-form";

/** The standard test protocol: start it, watch it, read what it found. */
export default function ProtocolPanel() {
  useRunInStep();
  const { data: active } = useQuery(activeRunQuery);
  const runs = useQuery(runsQuery);
  const [params, setParams] = useSearchParams();
  const set = (name: string, value: string) =>
    setParams(
      (known) => {
        if (value) known.set(name, value);
        else known.delete(name);
        return known;
      },
      { replace: true },
    );
  const all = runs.data?.data ?? [];
  const selected = params.get("run") ?? all.find((run) => !run.is_active)?.id ?? null;
  const against = params.get("against") ?? "";
  const isFollowed = active?.is_running || active?.error || selected !== null;
  const past = <PastRuns query={runs} selected={selected} onSelect={(id) => set("run", id)} />;
  return (
    <div className="grid grid-cols-1 items-start gap-4 xl:grid-cols-[26rem_minmax(0,1fr)]">
      <div className="flex min-w-0 flex-col gap-4">
        <StartForm isRunning={active?.is_running ?? false} />
        {isFollowed && past}
      </div>
      <div className="flex min-w-0 flex-col gap-4">
        {!isFollowed && past}
        {active?.is_running && <ActiveRun active={active} />}
        {active?.error && !active.is_running && <EndedEarly active={active} />}
        {selected && all.length > 1 && (
          <Against
            runs={all.filter((run) => run.id !== selected)}
            value={against}
            onChange={(id) => set("against", id)}
          />
        )}
        {selected && against && against !== selected && (
          <CompareRuns before={against} after={selected} />
        )}
        {selected && <RunReport key={selected} runId={selected} />}
      </div>
    </div>
  );
}

interface PastProps {
  query: { data?: { data: Brief[] }; error: unknown; refetch(): unknown };
  selected: string | null;
  onSelect(id: string): void;
}

function PastRuns({ query, selected, onSelect }: PastProps) {
  const texts = useMessages().performance.panels.protocol;
  const { data, error } = query;
  return (
    <Section id="past-runs" title={texts.past}>
      {error && !data ? (
        <ErrorState error={error} onRetry={() => void query.refetch()} />
      ) : !data ? (
        <Skeleton className="h-24" />
      ) : data.data.length === 0 ? (
        <Empty title={texts.noRuns} text={texts.noRunsHint} />
      ) : (
        <RunList runs={data.data} selected={selected} onSelect={onSelect} />
      )}
    </Section>
  );
}

/** Pre-flight refused, or the run broke off: why, and what to do. */
function EndedEarly({ active }: { active: Started }) {
  const texts = useMessages().performance.panels.protocol;
  const { message, hint } = (active.error ?? {}) as { message?: string; hint?: string };
  return (
    <div
      role="status"
      className="flex items-start gap-3 rounded-xl border border-line bg-warn-soft px-4 py-3 text-sm"
    >
      <CircleAlert className="mt-0.5 size-4 shrink-0 text-warn" aria-hidden />
      <div className="min-w-0">
        <p className="font-medium">{texts.endedEarly(moment(active.started_at))}</p>
        <p className="break-words">{message}</p>
        {hint && <p className="text-muted first-letter:uppercase">{hint}</p>}
      </div>
    </div>
  );
}

interface AgainstProps {
  runs: readonly Brief[];
  value: string;
  onChange(id: string): void;
}

function Against({ runs, value, onChange }: AgainstProps) {
  const texts = useMessages().performance.panels.protocol;
  return (
    <Field label={texts.compareWith} className="max-w-md">
      {(ids) => (
        <Select
          {...ids}
          value={value}
          onChange={(event) => onChange(event.target.value)}
          options={[
            { value: "", label: texts.noComparison },
            ...runs.map((run) => ({
              value: run.id,
              label: `${moment(run.created_at)} · ${title(run.suite)} · ${run.job_types.map(title).join(", ")}`,
            })),
          ]}
        />
      )}
    </Field>
  );
}
