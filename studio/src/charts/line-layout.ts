// Where points, levels and marks of a history lie. Pure, tested in line-layout.test.ts.
import { domainOf, linearScale, type Scale, thinned, tickMoment, timeTicks } from "@/charts/scale";

interface PlacedPoint {
  id: string;
  at: string;
  value: number | null;
  isLeftOut?: boolean;
}

/** A level between two points of the series. */
export interface SeriesBand {
  /** Index of the first and the last point. */
  from: number;
  to: number;
  low: number;
  high: number;
  /** The median. */
  middle?: number;
}

/** Something at or before a point: a change, an entry of the change log. */
export interface SeriesMark {
  id: string;
  /** The first point after it; if that is not shown, the first one at or after `at`. */
  pointId?: string;
  at: string;
  /** As short as can be: "+21 %". */
  text: string;
  /** The whole of it. */
  title: string;
  tone: "bad" | "good" | "neutral" | "quiet";
}

interface Frame {
  width: number;
  top: number;
  bottom: number;
  spacing: "runs" | "time";
  hasZero?: boolean;
}

export interface PointLayout {
  x: Scale;
  y: Scale;
  left: number;
  /** The pixel of each point. */
  xs: number[];
  path: string;
  timeMarks: { x: number; text: string }[];
  bandBoxes: {
    key: string;
    x0: number;
    x1: number;
    top: number;
    bottom: number;
    middle: number | null;
  }[];
}

const RIGHT = 8;
const LABEL_PX = 92;

export function placePoints(
  points: readonly PlacedPoint[],
  bands: readonly SeriesBand[],
  frame: Frame,
): PointLayout {
  const left = frame.width < 520 ? 48 : 60;
  const inner: [number, number] = [left + 8, frame.width - RIGHT - 8];
  const y = linearScale(
    domainOf(
      [...points.map((point) => point.value), ...bands.flatMap((band) => [band.low, band.high])],
      { hasZero: frame.hasZero, pad: 0.1 },
    ),
    [frame.bottom, frame.top],
  );
  const times = points.map((point) => Date.parse(point.at));
  const first = times[0] ?? 0;
  const last = times.at(-1) ?? first;
  const isTime = frame.spacing === "time" && last > first;
  const x = isTime
    ? linearScale([first, last], inner)
    : linearScale([0, Math.max(0, points.length - 1)], inner);
  const xs = points.map((_, index) => (isTime ? x(times[index] ?? first) : x(index)));
  const count = Math.max(2, Math.floor((inner[1] - inner[0]) / LABEL_PX));
  return {
    x,
    y,
    left,
    xs,
    path: linePath(points, xs, y),
    timeMarks: isTime
      ? timeTicks(first, last, count).map((at) => ({
          x: x(at),
          text: tickMoment(at, last - first),
        }))
      : runMarks(times, xs, last - first),
    bandBoxes: bands.map((band) => ({
      key: `${band.from}-${band.to}`,
      x0: (xs[band.from] ?? left) - 4,
      x1: (xs[band.to] ?? left) + 4,
      top: y(band.high),
      bottom: y(band.low),
      middle: band.middle == null ? null : y(band.middle),
    })),
  };
}

/** Through the points that count. */
function linePath(points: readonly PlacedPoint[], xs: readonly number[], y: Scale): string {
  let path = "";
  points.forEach((point, index) => {
    if (point.value == null || point.isLeftOut) return;
    path += `${path ? "L" : "M"}${(xs[index] ?? 0).toFixed(1)} ${y(point.value).toFixed(1)}`;
  });
  return path;
}

/** Runs at equal distances: the moment of some of them, each text once. */
function runMarks(times: readonly number[], xs: readonly number[], spanMs: number) {
  const all = times.map((at, index) => ({ x: xs[index] ?? 0, text: tickMoment(at, spanMs) }));
  const fresh = all.filter((mark, index) => index === 0 || mark.text !== all[index - 1]?.text);
  return [...thinned(fresh, (mark) => mark.x, LABEL_PX)];
}

export interface PlacedMark {
  mark: SeriesMark;
  x: number;
  /** null: too near to another one for its text. */
  label: string | null;
  place: "start" | "middle" | "end";
}

/** A mark lies half way between its point and the one before; near the edges its text turns inwards. */
export function placeMarks(
  marks: readonly SeriesMark[],
  points: readonly PlacedPoint[],
  xs: readonly number[],
  [left, right]: readonly [number, number],
): PlacedMark[] {
  const index = new Map(points.map((point, place) => [point.id, place]));
  const placed = marks.flatMap((mark) => {
    const known = mark.pointId == null ? undefined : index.get(mark.pointId);
    const found = known ?? points.findIndex((point) => point.at >= mark.at);
    const own = xs[found];
    if (found < 0 || own == null) return [];
    const before = xs[found - 1];
    return [{ mark, x: before == null ? own : (before + own) / 2 }];
  });
  placed.sort((a, b) => a.x - b.x);
  const labelled = new Set(spreadLabels(placed));
  return placed.map((each) => ({
    ...each,
    label: labelled.has(each) && each.mark.text ? each.mark.text : null,
    place: each.x < left + 32 ? "start" : each.x > right - 32 ? "end" : "middle",
  }));
}

const MARK_PX = 64;

/** Which labels are shown: changes before entries of the log, none over another. */
function spreadLabels<T extends { mark: SeriesMark; x: number }>(placed: readonly T[]): T[] {
  const kept: T[] = [];
  const weight = (each: T) => (each.mark.tone === "quiet" ? 1 : 0);
  for (const each of [...placed].sort((a, b) => weight(a) - weight(b) || b.x - a.x))
    if (each.mark.text && kept.every((other) => Math.abs(other.x - each.x) >= MARK_PX))
      kept.push(each);
  return kept;
}
