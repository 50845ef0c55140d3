import { type KeyboardEvent, type PointerEvent, type ReactNode, useMemo, useState } from "react";
import { AxisBottom, AxisLeft } from "@/charts/axis";
import { placeMarks, placePoints, type SeriesBand, type SeriesMark } from "@/charts/line-layout";
import { durationTicks, linearScale, nearest, tickDuration, ticks } from "@/charts/scale";
import { ChartTip } from "@/charts/tip";
import { useWidth } from "@/charts/use-width";
import { cx } from "@/ui/cx";

export type { SeriesBand, SeriesMark } from "@/charts/line-layout";

export interface SeriesPoint {
  id: string;
  /** ISO 8601. */
  at: string;
  value: number | null;
  /** Drawn hollow, and not part of the line. */
  isLeftOut?: boolean;
  isMarked?: boolean;
}

interface Props {
  /** Oldest first. */
  points: readonly SeriesPoint[];
  /** Name of the chart and how to use it: arrow keys move from point to point. */
  label: string;
  /** One point in words: said by screen readers, shown in the tooltip's first line. */
  describe(point: SeriesPoint): string;
  /** What the tooltip says besides. */
  detail?(point: SeriesPoint): ReactNode;
  /** Levels: medians with their intervals between change points. */
  bands?: readonly SeriesBand[];
  /** Change points and entries of the change log. */
  marks?: readonly SeriesMark[];
  onSelect?(point: SeriesPoint): void;
  onSelectMark?(mark: SeriesMark): void;
  /** Values of the axis; seconds unless told. */
  format?(value: number): string;
  /** Ticks are round in this many: 2 ** 30 for values in bytes that read as GiB. */
  tickUnit?: number;
  /** Runs at equal distances (the default), or where they lie in time. */
  spacing?: "runs" | "time";
  height?: number;
  hasZero?: boolean;
  colour?: string;
}

const BARE_TOP = 12;
const LABELLED_TOP = 30; // room for the texts of marks
const BOTTOM = 26;

/** A history, run by run, with its levels and what happened on the way. */
export function LineSeries(props: Props) {
  const { points, marks = [], bands = [], height = 260, spacing = "runs", hasZero } = props;
  const [ref, width] = useWidth<HTMLDivElement>();
  const [active, setActive] = useState<number | null>(null);
  const top = marks.some((mark) => mark.text) ? LABELLED_TOP : BARE_TOP;
  const layout = useMemo(
    () => placePoints(points, bands, { width, top, bottom: height - BOTTOM, spacing, hasZero }),
    [points, bands, width, height, top, spacing, hasZero],
  );
  const { x, y, left, xs, path, timeMarks, bandBoxes } = layout;
  const placed = placeMarks(marks, points, xs, [left, width - 8]);
  const count = Math.max(3, Math.floor((height - top - BOTTOM) / 44));
  const values = props.format
    ? ticksIn(props.tickUnit ?? 1, y.domain, count)
    : durationTicks(...y.domain, count);
  const step = (values[1] ?? 1) - (values[0] ?? 0);
  const colour = props.colour ?? "var(--accent)";
  const point = active == null ? undefined : points[active];
  const choose = (event: PointerEvent) => {
    const box = event.currentTarget.getBoundingClientRect();
    setActive(nearest(xs, event.clientX - box.left));
  };
  return (
    <div ref={ref} className="relative min-w-0">
      <div
        role="slider"
        tabIndex={0}
        aria-label={props.label}
        aria-orientation="horizontal"
        aria-valuemin={1}
        aria-valuemax={Math.max(1, points.length)}
        aria-valuenow={(active ?? points.length - 1) + 1}
        aria-valuetext={describeAt(props, active ?? points.length - 1)}
        className={cx("block rounded-md", props.onSelect && "cursor-pointer")}
        onPointerMove={choose}
        onPointerLeave={() => setActive(null)}
        onFocus={() => setActive((now) => now ?? points.length - 1)}
        onBlur={() => setActive(null)}
        onClick={() => point && props.onSelect?.(point)}
        onKeyDown={(event) => {
          const next = moved(event, active ?? points.length - 1, points.length);
          if (next != null) setActive(next);
          if (event.key === "Enter" && point) props.onSelect?.(point);
        }}
      >
        <svg aria-hidden width={width} height={height} className="block touch-pan-y">
          <AxisLeft
            scale={y}
            ticks={values}
            format={props.format ?? ((tick) => tickDuration(tick, step))}
            x={left}
            width={width - left - 8}
          />
          <AxisBottom
            scale={linearScale([left, width - 8], [left, width - 8])}
            ticks={timeMarks.map((mark) => mark.x)}
            format={(at) => timeMarks.find((mark) => mark.x === at)?.text ?? ""}
            y={height - BOTTOM}
          />
          {bandBoxes.map((band) => (
            <g key={band.key}>
              <rect
                x={band.x0}
                width={Math.max(0, band.x1 - band.x0)}
                y={band.top}
                height={Math.max(1, band.bottom - band.top)}
                fill={colour}
                fillOpacity={0.1}
              />
              {band.middle != null && (
                <line
                  x1={band.x0}
                  x2={band.x1}
                  y1={band.middle}
                  y2={band.middle}
                  stroke={colour}
                  strokeOpacity={0.65}
                  strokeWidth={1.5}
                />
              )}
            </g>
          ))}
          <path
            d={path}
            fill="none"
            stroke={colour}
            strokeOpacity={points.length > 150 ? 0.25 : 0.45}
            strokeWidth={1.25}
          />
          {placed.map(({ mark, x: at }) => (
            <line
              key={mark.id}
              x1={at}
              x2={at}
              y1={top - 6}
              y2={height - BOTTOM}
              stroke={MARK_COLOURS[mark.tone]}
              strokeDasharray={mark.tone === "quiet" ? "2 3" : undefined}
              strokeWidth={mark.tone === "quiet" ? 1 : 1.5}
            />
          ))}
          {points.map((each, index) =>
            each.value == null ? null : (
              <circle
                key={each.id}
                cx={xs[index]}
                cy={y(each.value)}
                r={index === active ? 5 : each.isMarked ? 4.5 : points.length > 300 ? 2 : 3}
                fill={each.isLeftOut ? "var(--surface)" : colour}
                stroke={each.isLeftOut ? "var(--line-strong)" : "var(--surface)"}
                strokeWidth={each.isLeftOut ? 1.25 : 0.75}
              />
            ),
          )}
          {point && active != null && (
            <line
              x1={xs[active]}
              x2={xs[active]}
              y1={top}
              y2={height - BOTTOM}
              className="stroke-line-strong"
              strokeOpacity={0.6}
            />
          )}
        </svg>
      </div>
      {placed.map(({ mark, x: at, label, place }) => (
        <MarkLabel
          key={mark.id}
          mark={mark}
          x={at}
          text={label}
          place={place}
          width={width}
          onSelect={props.onSelectMark}
        />
      ))}
      {point && active != null && (
        <ChartTip
          x={xs[active] ?? x(active)}
          y={point.value == null ? height / 2 : Math.max(48, y(point.value))}
          width={width}
        >
          <p className="numeric font-medium">{props.describe(point)}</p>
          {props.detail?.(point)}
        </ChartTip>
      )}
    </div>
  );
}

const MARK_COLOURS: Record<SeriesMark["tone"], string> = {
  bad: "var(--bad)",
  good: "var(--good)",
  neutral: "var(--line-strong)",
  quiet: "var(--line-strong)",
};
const MARK_TEXT: Record<SeriesMark["tone"], string> = {
  bad: "text-bad",
  good: "text-good",
  neutral: "text-ink",
  quiet: "text-muted",
};

interface MarkLabelProps {
  mark: SeriesMark;
  x: number;
  text: string | null;
  place: "start" | "middle" | "end";
  width: number;
  onSelect?(mark: SeriesMark): void;
}

/** A button over the drawing, so that it has a name, a focus and a place to press. */
function MarkLabel({ mark, x, text, place, width, onSelect }: MarkLabelProps) {
  if (text == null || !onSelect || mark.tone === "quiet") {
    return text == null ? null : (
      <span
        title={mark.title}
        className={cx("absolute top-0 text-[11px] font-medium", MARK_TEXT[mark.tone])}
        style={sideOf(x, place, width)}
      >
        {text}
      </span>
    );
  }
  return (
    <button
      type="button"
      title={mark.title}
      aria-label={mark.title}
      onClick={() => onSelect(mark)}
      className={cx(
        "numeric absolute top-0 h-6 rounded-md border border-line bg-surface px-1.5 text-[11px] font-medium hover:bg-sunken",
        MARK_TEXT[mark.tone],
      )}
      style={sideOf(x, place, width)}
    >
      {text}
    </button>
  );
}

function sideOf(x: number, place: MarkLabelProps["place"], width: number) {
  if (place === "start") return { left: x };
  if (place === "end") return { right: width - x };
  return { left: x, transform: "translateX(-50%)" };
}

function ticksIn(unit: number, [low, high]: readonly [number, number], count: number): number[] {
  return ticks(low / unit, high / unit, count).map((tick) => tick * unit);
}

function describeAt(props: Props, index: number): string {
  const point = props.points[index];
  return point ? props.describe(point) : "";
}

/** Where an arrow key leads; undefined for other keys. */
function moved(event: KeyboardEvent, from: number, count: number): number | undefined {
  const by: Record<string, number> = {
    ArrowLeft: from - 1,
    ArrowDown: from - 1,
    ArrowRight: from + 1,
    ArrowUp: from + 1,
    PageDown: from - 10,
    PageUp: from + 10,
    Home: 0,
    End: count - 1,
  };
  const to = by[event.key];
  if (to == null) return undefined;
  event.preventDefault();
  return Math.min(count - 1, Math.max(0, to));
}
