import { useState } from "react";
import type { Job } from "@/api/client";
import { duration, number } from "@/lib/format";
import { orderedPhases, phaseName } from "@/lib/phases";
import { type Messages, useMessages } from "@/messages";
import { Section } from "@/ui/card";
import { ChartFrame } from "@/ui/chart-frame";
import type { Column } from "@/ui/data-table";
import { PhaseDot } from "@/ui/phase-bar";
import { Segmented } from "@/ui/tabs";
import { TimesChart } from "@/views/compare/charts/times-chart";
import { phasesOf, type Relation, relationOf, sumOf } from "@/views/compare/logic/times";

interface Row {
  job: Job;
  name: string;
  phases_s: Record<string, number>;
  seconds: number;
  relation: Relation | null;
}

interface Props {
  jobs: readonly Job[];
  nameOf(job: Job): string;
}

function rowsOf({ jobs, nameOf }: Props, isWorkOnly: boolean): Row[] {
  const timed = jobs.filter((job) => job.ledger !== null && job.state === "succeeded");
  let reference_s = 0;
  return timed.map((job, place) => {
    const phases_s = phasesOf(job, isWorkOnly);
    const seconds = sumOf(phases_s);
    if (place === 0) reference_s = seconds;
    const relation = place === 0 ? null : relationOf(seconds, reference_s);
    return { job, name: nameOf(job), phases_s, seconds, relation };
  });
}

/** How long each took and where the time went, on one scale. */
export function Times(props: Props) {
  const messages = useMessages();
  const texts = messages.compare;
  const [which, setWhich] = useState<"work" | "all">("work");
  const rows = rowsOf(props, which === "work");
  const fastest = rows.reduce<Row | null>(
    (best, row) => (best === null || row.seconds < best.seconds ? row : best),
    null,
  );
  return (
    <Section
      id="times"
      title={texts.times}
      text={which === "work" ? texts.timesWorkHint : texts.timesAllHint}
      actions={
        <Segmented
          label={texts.timesWhich}
          value={which}
          onChange={(next) => setWhich(next)}
          options={[
            { value: "work", label: texts.timesWork },
            { value: "all", label: texts.timesAll },
          ]}
        />
      }
    >
      {fastest === null ? (
        <p className="text-sm text-muted">{texts.timesNone}</p>
      ) : (
        <ChartFrame
          title={texts.times}
          isTitleHidden
          summary={texts.timesSummary(fastest.name, duration(fastest.seconds))}
          columns={columnsOf(rows, messages)}
          rows={rows}
          rowKey={(row) => row.job.id}
        >
          <Bars rows={rows} />
        </ChartFrame>
      )}
    </Section>
  );
}

function relationText(row: Row, first: Row | undefined, messages: Messages): string | null {
  const { relation } = row;
  if (!relation || !first) return null;
  const texts = messages.compare;
  if (relation.kind === "same") return texts.same(first.name);
  return texts[relation.kind](number(relation.factor, 1), first.name);
}

function Bars({ rows }: { rows: readonly Row[] }) {
  const messages = useMessages();
  const phases = orderedPhases(Object.assign({}, ...rows.map((row) => row.phases_s)));
  return (
    <div className="flex flex-col gap-4">
      <TimesChart
        rows={rows.map((row) => ({
          key: row.job.id,
          name: row.name,
          seconds: row.seconds,
          note: relationText(row, rows[0], messages) ?? messages.compare.reference,
          phases_s: row.phases_s,
        }))}
      />
      <ul className="flex flex-wrap gap-x-4 gap-y-1 text-xs text-muted">
        {phases.map(({ phase }) => (
          <li key={phase} className="flex items-center gap-1.5">
            <PhaseDot phase={phase} />
            {phaseName(phase, messages)}
          </li>
        ))}
      </ul>
    </div>
  );
}

function columnsOf(rows: readonly Row[], messages: Messages): Column<Row>[] {
  const texts = messages.compare;
  const phases = orderedPhases(Object.assign({}, ...rows.map((row) => row.phases_s)));
  const seconds = (key: string, name: string, of: (row: Row) => number | null): Column<Row> => ({
    key,
    name,
    isNumeric: true,
    value: of,
    cell: (row) => duration(of(row)),
  });
  return [
    { key: "name", name: texts.result("").trim(), value: (row) => row.name },
    seconds("sum", texts.total, (row) => row.seconds),
    {
      key: "relation",
      name: texts.relation,
      value: (row) => relationText(row, rows[0], messages) ?? texts.reference,
    },
    seconds("step", texts.step, (row) => row.job.ledger?.step_s ?? null),
    {
      key: "state",
      name: texts.state,
      value: (row) => texts.states[row.job.ledger?.state ?? ""] ?? null,
    },
    ...phases.map(({ phase }) =>
      seconds(phase, phaseName(phase, messages), (row) => row.phases_s[phase] ?? null),
    ),
  ];
}
