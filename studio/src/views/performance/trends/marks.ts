// What is drawn of a history in one measure: points, levels between changes, marks. Pure, tested in
// marks.test.ts.
import type { SeriesBand, SeriesMark } from "@/charts/line-layout";
import type { SeriesPoint } from "@/charts/line-series";
import { percent } from "@/lib/format";
import type { Change, Series } from "@/views/performance/queries";

/** An entry of the change log, as the service tells it. */
export interface LogMark {
  at: string;
  kind: string;
  name: string;
  before: unknown;
  after: unknown;
  text: string;
}

/** What looks like a change, of too few runs. */
export interface Candidate {
  measure: string;
  at: string;
  at_record: string;
  shift: number;
  text: string;
}

export function seriesPoints(
  series: Series,
  measure: string,
  marked?: string | null,
): SeriesPoint[] {
  return series.points.map((point) => ({
    id: point.id,
    at: point.at,
    value: point.values[measure] ?? null,
    isLeftOut: point.left_out.length > 0,
    isMarked: point.id === marked,
  }));
}

/** Where one measure begins a new level: the run of its own change, by index. */
export function changeStarts(
  points: readonly SeriesPoint[],
  changes: readonly Change[],
  measure: string,
): number[] {
  const index = new Map(points.map((point, place) => [point.id, place]));
  return changes
    .map((change) => change.measures.find((each) => each.measure === measure)?.at_record)
    .map((id) => (id == null ? undefined : index.get(id)))
    .filter((place): place is number => place != null)
    .sort((a, b) => a - b);
}

const LEAST_RUNS = 3; // fewer have no middle half

/** Median and middle half of the runs that count, between changes of the measure. */
export function levels(points: readonly SeriesPoint[], starts: readonly number[]): SeriesBand[] {
  const edges = [0, ...starts, points.length];
  return edges.slice(0, -1).flatMap((from, place) => {
    const to = (edges[place + 1] ?? points.length) - 1;
    const values = points
      .slice(from, to + 1)
      .flatMap((point) => (point.value == null || point.isLeftOut ? [] : [point.value]))
      .sort((a, b) => a - b);
    if (values.length < LEAST_RUNS) return [];
    return [
      {
        from,
        to,
        low: quantile(values, 0.25),
        high: quantile(values, 0.75),
        middle: quantile(values, 0.5),
      },
    ];
  });
}

/** Between the two nearest values, as most programs do it. */
export function quantile(sorted: readonly number[], share: number): number {
  const place = (sorted.length - 1) * share;
  const low = Math.floor(place);
  const [a, b] = [sorted[low] ?? 0, sorted[Math.min(low + 1, sorted.length - 1)] ?? 0];
  return a + (b - a) * (place - low);
}

interface MarkWords {
  change(change: Change): string;
  candidate: string;
}

/** Changes with their size in this measure, candidates, and quiet entries of the change log. */
export function seriesMarks(series: Series, measure: string, words: MarkWords): SeriesMark[] {
  const changes = series.changes.map((change): SeriesMark => {
    const own = change.measures.find((each) => each.measure === measure);
    const share = own?.shift.estimate;
    return {
      id: change.id,
      pointId: own?.at_record ?? change.at_record,
      at: change.at,
      text: share == null ? "" : percent(share, Math.abs(share) < 0.0995 ? 1 : 0, true),
      title: `${words.change(change)}: ${change.text}`,
      tone:
        share == null || change.decision?.verb === "ignore"
          ? "neutral"
          : share > 0
            ? "bad"
            : "good",
    };
  });
  const candidates = candidatesOf(series)
    .filter((each) => each.measure === measure)
    .map(
      (each): SeriesMark => ({
        id: `candidate-${each.at_record}`,
        pointId: each.at_record,
        at: each.at,
        text: words.candidate,
        title: each.text,
        tone: "neutral",
      }),
    );
  const atChanges = new Set(series.changes.map((change) => change.at));
  const log = logOf(series)
    .filter((mark) => !atChanges.has(mark.at))
    .map(
      (mark, index): SeriesMark => ({
        id: `log-${index}`,
        at: mark.at,
        text: mark.name.split(".").at(-1) ?? mark.name,
        title: mark.text,
        tone: "quiet",
      }),
    );
  return [...changes, ...candidates, ...log];
}

const isText = (value: unknown): value is string => typeof value === "string";

export function logOf(told: { marks: readonly Record<string, unknown>[] }): LogMark[] {
  return told.marks.flatMap((mark) =>
    isText(mark.at) && isText(mark.name) && isText(mark.text)
      ? [
          {
            at: mark.at,
            kind: isText(mark.kind) ? mark.kind : "environment",
            name: mark.name,
            before: mark.before,
            after: mark.after,
            text: mark.text,
          },
        ]
      : [],
  );
}

export function candidatesOf(series: Series): Candidate[] {
  return series.candidates.flatMap((told) =>
    isText(told.measure) && isText(told.at) && isText(told.at_record) && isText(told.text)
      ? [
          {
            measure: told.measure,
            at: told.at,
            at_record: told.at_record,
            shift: typeof told.shift === "number" ? told.shift : 0,
            text: told.text,
          },
        ]
      : [],
  );
}

/** One name of the environment on the two sides of a change. */
export interface Difference {
  name: string;
  before: string;
  after: string;
  isAtChange: boolean;
}

export function differencesOf(change: Change): Difference[] {
  return change.differences.map((told) => ({
    name: String(told.name ?? ""),
    before: sideText(told.before),
    after: sideText(told.after),
    isAtChange: told.is_at_change === true,
  }));
}

function sideText(values: unknown): string {
  const list = Array.isArray(values) ? values : [values];
  return list
    .map((value) => (value == null ? "–" : isText(value) ? value : JSON.stringify(value)))
    .join(", ");
}

const ORDER = ["total", "step", "peak_memory"];

/** Measures that a history has, the whole job first. */
export function measuresOf(all: readonly Series[]): string[] {
  const found = new Set(
    all.flatMap((series) => series.points.flatMap((p) => Object.keys(p.values))),
  );
  found.delete("host_memory");
  const rank = (name: string): number => {
    const place = ORDER.indexOf(name);
    return place < 0 ? ORDER.length : place;
  };
  return [...found].sort((a, b) => rank(a) - rank(b));
}
