import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useLocation } from "wouter";
import { StripPlot } from "@/charts/strip-plot";
import { fullMoment, moment, percent } from "@/lib/format";
import { orderedPhases, phaseName } from "@/lib/phases";
import { useMessages } from "@/messages";
import { ChartFrame } from "@/ui/chart-frame";
import type { Column } from "@/ui/data-table";
import { PhaseBar } from "@/ui/phase-bar";
import { ErrorState, Skeleton } from "@/ui/states";
import { LinkButton } from "@/views/performance/link-button";
import { type GroupRun, groupRuns, phaseMeans, stripPoint } from "@/views/performance/matrix/runs";
import {
  type Baseline,
  baselineQuery,
  type JobState,
  type MatrixRow,
  trendsQuery,
} from "@/views/performance/queries";
import { ledgerPath, trendPath } from "@/views/performance/sections";
import { exact, exactInterval, workloadName } from "@/views/performance/words";

/** Behind a row of the matrix: its runs, its phases, its figures and notes. */
export function RowDetail({ row }: { row: MatrixRow }) {
  const messages = useMessages().performance.detail;
  if (!row.group)
    return (
      <div className="flex flex-col gap-3 text-[13px]">
        <p className="text-muted">{messages.neverRan}</p>
        <Notes notes={row.notes} />
      </div>
    );
  return <GroupDetail row={row} group={row.group} />;
}

function GroupDetail({ row, group }: { row: MatrixRow; group: string }) {
  const messages = useMessages().performance.detail;
  const { data: baseline, error, refetch } = useQuery(baselineQuery(group));
  const trends = useInfiniteQuery(
    trendsQuery({
      job_type: row.job_type,
      preset: row.preset,
      state: (row.state as JobState | null) ?? undefined,
      measure: ["total"],
    }),
  );
  const failed = (baseline ? null : error) ?? (trends.data ? null : trends.error);
  if (failed)
    return (
      <ErrorState error={failed} onRetry={() => void Promise.all([refetch(), trends.refetch()])} />
    );
  if (!baseline || baseline.id !== group || !trends.data)
    return (
      <div role="status" aria-label={messages.loading}>
        <Skeleton className="h-28" />
      </div>
    );
  const series = trends.data.pages
    .flatMap((page) => page.data)
    .find((each) => each.id === row.series);
  return (
    <div className="grid gap-x-8 gap-y-5 lg:grid-cols-[minmax(0,1fr)_20rem]">
      <div className="flex min-w-0 flex-col gap-5">
        <Runs row={row} baseline={baseline} runs={groupRuns(series, baseline)} />
        <Phases baseline={baseline} />
      </div>
      <div className="flex min-w-0 flex-col gap-4">
        <Figures baseline={baseline} />
        <Notes notes={row.notes} />
        <div>
          <LinkButton href={trendPath({ ...row, change: row.change })}>
            {messages.openTrend}
          </LinkButton>
        </div>
      </div>
    </div>
  );
}

interface RunsProps {
  row: MatrixRow;
  baseline: Baseline;
  runs: GroupRun[];
}

function Runs({ row, baseline, runs }: RunsProps) {
  const messages = useMessages().performance.detail;
  const [, navigate] = useLocation();
  const total = baseline.measures.total;
  const counts = (run: GroupRun) =>
    run.leftOut.length > 0
      ? run.leftOut.join(", ")
      : run.isOutlier
        ? messages.outlier
        : messages.counts;
  const columns: Column<GroupRun>[] = [
    {
      key: "at",
      name: messages.columns.at,
      value: (run) => run.at,
      cell: (run) => <time className="whitespace-nowrap">{fullMoment(run.at)}</time>,
    },
    { key: "run", name: messages.columns.run, value: (run) => run.id },
    {
      key: "seconds",
      name: messages.columns.seconds,
      value: (run) => run.seconds,
      cell: (run) => exact(run.seconds),
      isNumeric: true,
    },
    { key: "counts", name: messages.columns.counts, value: counts },
  ];
  const name = workloadName(row.job_type, row.preset);
  const summary = messages.runsSummary(name, baseline.n, exact(total?.median));
  return (
    <ChartFrame
      title={messages.runs}
      summary={summary}
      columns={columns}
      rows={runs}
      rowKey={(run) => run.id}
    >
      <StripPlot
        label={summary}
        onSelect={(id) => navigate(ledgerPath(id))}
        strips={[
          {
            key: baseline.id,
            name: "",
            points: runs.map((run) =>
              stripPoint(run, `${moment(run.at)}${run.leftOut.length ? `, ${counts(run)}` : ""}`),
            ),
            median: total?.median,
            low: total?.interval?.low,
            high: total?.interval?.high,
            reference: row.expected_s,
          },
        ]}
      />
    </ChartFrame>
  );
}

function Phases({ baseline }: { baseline: Baseline }) {
  const messages = useMessages();
  const words = messages.performance.detail;
  const phases_s = phaseMeans(baseline);
  const rows = orderedPhases(phases_s);
  if (rows.length === 0) return null;
  return (
    <ChartFrame
      title={words.phases}
      summary={rows
        .map((row) => `${phaseName(row.phase, messages)} ${exact(row.seconds)}`)
        .join(", ")}
      columns={[
        { key: "phase", name: words.columns.phase, value: (row) => phaseName(row.phase, messages) },
        {
          key: "seconds",
          name: words.columns.seconds,
          value: (row) => row.seconds,
          cell: (row) => exact(row.seconds),
          isNumeric: true,
        },
      ]}
      rows={rows}
      rowKey={(row) => row.phase}
    >
      <PhaseBar phases_s={phases_s} hasLegend />
    </ChartFrame>
  );
}

function Figures({ baseline }: { baseline: Baseline }) {
  const words = useMessages().performance.detail;
  const total = baseline.measures.total;
  const figures: [string, string][] = [];
  if (total) {
    figures.push([
      words.median,
      total.interval
        ? `${exact(total.median)} (${exactInterval(total.interval.low, total.interval.high)})`
        : exact(total.median),
    ]);
    figures.push([words.mad, exact(total.mad)], [words.mean, exact(total.mean)]);
    if (total.cv != null) figures.push([words.cv, percent(total.cv, 1)]);
    if (total.p90 != null) figures.push([words.p90, exact(total.p90)]);
    if (total.p95 != null) figures.push([words.p95, exact(total.p95)]);
    figures.push([words.range, exactInterval(total.minimum, total.maximum)]);
  }
  if (baseline.success)
    figures.push([
      words.success,
      `${words.successOf(baseline.success.successes, baseline.success.n)} (${percent(
        baseline.success.interval.low,
      )}–${percent(baseline.success.interval.high)})`,
    ]);
  if (baseline.left_out.length > 0) figures.push([words.leftOut, String(baseline.left_out.length)]);
  figures.push([words.since, moment(baseline.first_at)]);
  return (
    <dl className="grid grid-cols-[auto_minmax(0,1fr)] gap-x-4 gap-y-1 text-[13px]">
      {figures.map(([name, value]) => (
        <div key={name} className="contents">
          <dt className="text-muted">{name}</dt>
          <dd className="numeric text-right">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Notes({ notes }: { notes: readonly string[] }) {
  const messages = useMessages().performance.detail;
  if (notes.length === 0) return null;
  return (
    <section>
      <h3 className="mb-1 text-[13px] font-medium">{messages.notes}</h3>
      <ul className="flex flex-col gap-1 text-[13px] text-muted">
        {notes.map((note) => (
          <li key={note} className="break-words">
            {note}
          </li>
        ))}
      </ul>
    </section>
  );
}
