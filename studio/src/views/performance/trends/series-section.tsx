import { memo, useMemo } from "react";
import { useLocation } from "wouter";
import { LineSeries, type SeriesMark, type SeriesPoint } from "@/charts/line-series";
import { fullMoment, moment } from "@/lib/format";
import { useMessages } from "@/messages";
import { Badge } from "@/ui/badge";
import { Section } from "@/ui/card";
import { ChartFrame } from "@/ui/chart-frame";
import type { Series } from "@/views/performance/queries";
import { ledgerPath } from "@/views/performance/sections";
import { ChangeCard, changeTitle } from "@/views/performance/trends/change-card";
import { SeriesLegend } from "@/views/performance/trends/legend";
import {
  candidatesOf,
  changeStarts,
  levels,
  seriesMarks,
  seriesPoints,
} from "@/views/performance/trends/marks";
import {
  isBytes,
  measureName,
  measureValue,
  settingsText,
  stateName,
  tickUnit,
  workloadName,
} from "@/views/performance/words";

interface Props {
  series: Series;
  measure: string;
  spacing: "runs" | "time";
}

export const changeDomId = (id: string): string => `change-${id}`;

/** Bring a change's card into view, and the keyboard with it. */
export function goToChange(id: string): void {
  const card = document.getElementById(changeDomId(id));
  card?.scrollIntoView({ block: "center", behavior: "smooth" });
  card?.focus({ preventScroll: true });
}

/** One history: its chart, its changes, what was decided about them. */
export const SeriesSection = memo(function SeriesSection({ series, measure, spacing }: Props) {
  const messages = useMessages();
  const words = messages.performance.trends;
  const name = `${workloadName(series.job_type, series.preset)}, ${stateName(series.state, messages).toLowerCase()}`;
  const candidates = candidatesOf(series).filter((each) => each.measure === measure);
  return (
    <Section
      id={series.id}
      title={name}
      text={
        <>
          {settingsText(series.workload, messages)}
          {" · "}
          {series.points.length < series.num_points
            ? words.shown(series.points.length, series.num_points)
            : words.runs(series.num_points)}
        </>
      }
      actions={series.is_history && <Badge tone="warn">{words.imported}</Badge>}
    >
      <SeriesChart series={series} measure={measure} spacing={spacing} name={name} />
      <div className="mt-4 flex flex-col gap-3">
        {series.changes.toReversed().map((change) => (
          <ChangeCard
            key={change.id}
            change={change}
            domId={changeDomId(change.id)}
            isImported={series.is_history}
          />
        ))}
        {candidates.map((candidate) => (
          <div
            key={candidate.at_record}
            className="rounded-xl border border-dashed border-line px-4 py-3 text-[13px]"
          >
            <p className="flex flex-wrap items-center gap-2 font-medium">
              <Badge>{words.candidate}</Badge>
              {words.candidateNote}
            </p>
            <p className="mt-1 break-words text-muted">{candidate.text}</p>
          </div>
        ))}
        {series.changes.length === 0 && candidates.length === 0 && series.num_points >= 10 && (
          <p className="text-[13px] text-muted">{words.noChanges}</p>
        )}
      </div>
    </Section>
  );
});

function SeriesChart({ series, measure, spacing, name }: Props & { name: string }) {
  const messages = useMessages();
  const words = messages.performance.trends;
  const [, navigate] = useLocation();
  const points = useMemo(() => seriesPoints(series, measure), [series, measure]);
  const bands = useMemo(
    () => levels(points, changeStarts(points, series.changes, measure)),
    [points, series.changes, measure],
  );
  const marks = useMemo(
    () =>
      seriesMarks(series, measure, {
        change: (change) => changeTitle(change, messages),
        candidate: words.candidate,
      }),
    [series, measure, messages, words],
  );
  const reasons = useMemo(
    () => new Map(series.points.map((point) => [point.id, point.left_out])),
    [series],
  );
  const events = useMemo(() => {
    const found = new Map<string, string>();
    for (const mark of marks) {
      const id = mark.pointId ?? points.find((point) => point.at >= mark.at)?.id;
      if (id) found.set(id, [found.get(id), mark.title].filter(Boolean).join("; "));
    }
    return found;
  }, [marks, points]);
  const value = (point: SeriesPoint) =>
    point.value == null ? words.noValue : measureValue(measure, point.value);
  const measured = measureName(measure, messages);
  return (
    <ChartFrame
      title={words.chart(name, measured)}
      isTitleHidden
      summary={words.summary(name, series.num_points, series.changes.length)}
      columns={[
        {
          key: "at",
          name: words.columns.at,
          value: (row) => row.at,
          cell: (row) => <time className="whitespace-nowrap">{fullMoment(row.at)}</time>,
        },
        { key: "run", name: words.columns.run, value: (row) => row.id },
        {
          key: "value",
          name: measured,
          value: (row) => row.value,
          cell: (row) => measureValue(measure, row.value),
          isNumeric: true,
        },
        {
          key: "left",
          name: words.columns.leftOut,
          value: (row) => reasons.get(row.id)?.join(", ") || null,
        },
        { key: "event", name: words.columns.event, value: (row) => events.get(row.id) ?? null },
      ]}
      rows={points}
      rowKey={(row) => row.id}
    >
      <LineSeries
        points={points}
        bands={bands}
        marks={marks}
        spacing={spacing}
        label={messages.performance.charts.keys(words.chart(name, measured))}
        tickUnit={tickUnit(measure)}
        format={isBytes(measure) ? (tick) => measureValue(measure, tick) : undefined}
        describe={(point) => `${value(point)}, ${moment(point.at)}`}
        detail={(point) => {
          const why = reasons.get(point.id);
          return (
            <>
              {why && why.length > 0 && (
                <p className="text-warn">{words.leftOut(why.join(", "))}</p>
              )}
              {events.has(point.id) && <p className="text-muted">{events.get(point.id)}</p>}
            </>
          );
        }}
        onSelect={(point) => navigate(ledgerPath(point.id))}
        onSelectMark={(mark: SeriesMark) => goToChange(mark.id)}
      />
      <SeriesLegend
        hasLeftOut={points.some((point) => point.isLeftOut)}
        hasLevels={bands.length > 0}
        hasChanges={series.changes.length > 0}
        hasLog={marks.some((mark) => mark.tone === "quiet")}
      />
    </ChartFrame>
  );
}
