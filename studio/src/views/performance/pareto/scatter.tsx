import { useState } from "react";
import { AxisBottom, AxisLeft } from "@/charts/axis";
import {
  domainOf,
  durationTicks,
  linearScale,
  type Scale,
  tickDuration,
  ticks,
} from "@/charts/scale";
import { ChartTip } from "@/charts/tip";
import { useWidth } from "@/charts/use-width";
import { duration, interval } from "@/lib/format";
import { useMessages } from "@/messages";
import { cx } from "@/ui/cx";
import { paretoFront, placeLabels } from "./front";
import type { Estimate, Point } from "./points";

export interface Placed {
  point: Point;
  quality: Estimate;
}

interface Props {
  placed: readonly Placed[];
  /** Their speed is known, their quality is not: marks at the bottom. */
  unrated: readonly Point[];
  label: string;
  qualityName: string;
  format(value: number): string;
}

const LEFT = 52;
const TOP = 24;
const AXIS = 42;
const CHAR = 6.6;
const HEIGHT = 380;

/** Speed to the right is slower, quality upwards is better; the front joins what nothing beats. */
export function Scatter({ placed, unrated, label, qualityName, format }: Props) {
  const [ref, width] = useWidth<HTMLDivElement>();
  const [active, setActive] = useState<Placed | null>(null);
  const texts = useMessages().performance.panels.pareto;
  const all = [...placed.map(({ point }) => point), ...unrated];
  const x = linearScale(
    domainOf(
      all.flatMap(({ seconds }) => [seconds.value, seconds.low, seconds.high]),
      { pad: 0.12 },
    ),
    [LEFT, width - 8],
  );
  const bottom = HEIGHT - AXIS;
  const y = linearScale(
    domainOf(
      placed.flatMap(({ quality }) => [quality.value, quality.low, quality.high]),
      { pad: 0.15 },
    ),
    [bottom - 12, TOP],
  );
  const front = paretoFront(
    placed.map((each) => ({
      id: each.point.id,
      seconds: each.point.seconds.value,
      quality: each.quality.value,
    })),
  );
  const best = new Set(front.map(({ id }) => id));
  const labels = placeLabels(
    placed.map(({ point, quality }) => ({
      id: point.id,
      x: x(point.seconds.value),
      y: y(quality.value),
      text: point.name,
      rank: best.has(point.id) ? 0 : 1,
    })),
    { x: LEFT, y: TOP - 16, width: width - LEFT, height: bottom - TOP + 16 },
    (text) => text.length * CHAR,
  );
  const marks = durationTicks(...x.domain, Math.max(2, Math.floor(width / 110)));
  const step = (marks[1] ?? 1) - (marks[0] ?? 0);
  return (
    <div ref={ref} className="relative min-w-0" onPointerLeave={() => setActive(null)}>
      <svg role="img" aria-label={label} width={width} height={HEIGHT} className="block">
        <AxisLeft
          scale={y}
          ticks={ticks(...y.domain, 5)}
          format={format}
          x={LEFT}
          width={width - LEFT}
        />
        <AxisBottom
          scale={x}
          ticks={marks}
          format={(tick) => tickDuration(tick, step)}
          y={bottom}
        />
        <text x={width} y={HEIGHT - 4} textAnchor="end" className="fill-muted text-[11px]">
          {texts.axisSeconds}
        </text>
        <text x={0} y={11} className="fill-muted text-[11px]">
          {qualityName}
        </text>
        <path
          d={front
            .map(({ seconds, quality }, index) => `${index ? "L" : "M"}${x(seconds)} ${y(quality)}`)
            .join("")}
          fill="none"
          strokeWidth={1.5}
          strokeDasharray="4 3"
          className="stroke-accent"
        />
        {unrated.map((point) => (
          <path
            key={point.id}
            d={`M${x(point.seconds.value)} ${bottom - 8}v8`}
            strokeWidth={2}
            className="stroke-line-strong"
          >
            <title>{texts.unratedOf(point.name, duration(point.seconds.value))}</title>
          </path>
        ))}
        {placed.map((each) => (
          <g key={each.point.id} onPointerEnter={() => setActive(each)}>
            <Mark placed={each} x={x} y={y} isBest={best.has(each.point.id)} />
          </g>
        ))}
        {labels.map(({ id, box, align, text }) => (
          <text
            key={id}
            x={
              align === "start"
                ? box.x
                : align === "end"
                  ? box.x + box.width
                  : box.x + box.width / 2
            }
            y={box.y + 12}
            textAnchor={align}
            strokeWidth={4}
            strokeLinejoin="round"
            style={{ paintOrder: "stroke" }}
            className={cx(
              "pointer-events-none stroke-surface text-xs",
              best.has(id) ? "fill-ink font-medium" : "fill-muted",
            )}
          >
            {text}
          </text>
        ))}
      </svg>
      {active && (
        <ChartTip x={x(active.point.seconds.value)} y={y(active.quality.value)} width={width}>
          <p className="font-medium">{active.point.name}</p>
          <p className="numeric">
            {duration(active.point.seconds.value)}{" "}
            <span className="text-muted">
              {interval(active.point.seconds.low, active.point.seconds.high)}
            </span>
          </p>
          <p className="numeric">
            {qualityName} {format(active.quality.value)}{" "}
            <span className="text-muted">{texts.judgements(active.quality.n)}</span>
          </p>
        </ChartTip>
      )}
    </div>
  );
}

interface MarkProps {
  placed: Placed;
  x: Scale;
  y: Scale;
  isBest: boolean;
}

function Mark({ placed: { point, quality }, x, y, isBest }: MarkProps) {
  const [cx_, cy] = [x(point.seconds.value), y(quality.value)];
  const { low, high } = point.seconds;
  return (
    <g opacity={isBest ? 1 : 0.6}>
      <g className="stroke-line-strong" strokeWidth={1.25}>
        {low !== null && high !== null && <path d={`M${x(low)} ${cy}H${x(high)}`} />}
        {quality.low !== null && quality.high !== null && (
          <path d={`M${cx_} ${y(quality.low)}V${y(quality.high)}`} />
        )}
      </g>
      <circle cx={cx_} cy={cy} r={12} className="fill-transparent" />
      <circle
        cx={cx_}
        cy={cy}
        r={5}
        strokeWidth={1.5}
        className={isBest ? "fill-accent stroke-surface" : "fill-surface stroke-line-strong"}
      />
    </g>
  );
}
