import { useState } from "react";
import { AxisBottom } from "@/charts/axis";
import {
  domainOf,
  durationTicks,
  jitter,
  linearScale,
  type Scale,
  tickDuration,
  ticks,
} from "@/charts/scale";
import { ChartTip } from "@/charts/tip";
import { useWidth } from "@/charts/use-width";
import { cx } from "@/ui/cx";

export interface StripPoint {
  id: string;
  value: number;
  /** What the tooltip says below the value. */
  text?: string;
  /** Drawn hollow: it does not count. */
  isLeftOut?: boolean;
  /** Drawn larger: the one in question. */
  isMarked?: boolean;
}

export interface Strip {
  key: string;
  name: string;
  points: readonly StripPoint[];
  median?: number | null;
  low?: number | null;
  high?: number | null;
  /** A value to compare with, such as the expected one. */
  reference?: number | null;
  colour?: string;
}

interface Props {
  strips: readonly Strip[];
  label: string;
  /** Values in words; seconds unless told. With it, ticks are decimal. */
  format?(value: number): string;
  hasZero?: boolean;
  onSelect?(id: string): void;
}

interface Shown {
  x: number;
  y: number;
  point: StripPoint;
}

const ROW = 44;
const AXIS = 24;

/** Every run as a dot, the median as a line, its interval as a band. */
export function StripPlot({ strips, label, format, hasZero, onSelect }: Props) {
  const [ref, width] = useWidth<HTMLDivElement>();
  const [shown, setShown] = useState<Shown | null>(null);
  const isNamed = strips.length > 1 || Boolean(strips[0]?.name);
  const left = !isNamed ? 4 : width < 520 ? 84 : 144;
  const domain = domainOf(
    strips.flatMap((strip) => [
      ...strip.points.map((point) => point.value),
      strip.low,
      strip.high,
      strip.reference,
    ]),
    { hasZero },
  );
  const x = linearScale(domain, [left, width - 8]);
  const count = Math.max(2, Math.floor((width - left) / 96));
  const marks = format ? ticks(...domain, count) : durationTicks(...domain, count);
  const step = (marks[1] ?? domain[1]) - (marks[0] ?? domain[0]);
  const say = format ?? ((value: number) => tickDuration(value, step));
  const bottom = strips.length * ROW;
  return (
    <div ref={ref} className="relative min-w-0">
      <svg role="img" aria-label={label} width={width} height={bottom + AXIS} className="block">
        <AxisBottom scale={x} ticks={marks} format={say} y={bottom} height={bottom} />
        {strips.map((strip, index) => (
          <StripRow
            key={strip.key}
            strip={strip}
            x={x}
            y={index * ROW + ROW / 2}
            onSelect={onSelect}
            onShow={setShown}
          />
        ))}
      </svg>
      {shown && (
        <ChartTip x={shown.x} y={shown.y} width={width}>
          <p className="numeric font-medium">
            {(format ?? ((value: number) => tickDuration(value, step / 100)))(shown.point.value)}
          </p>
          {shown.point.text && <p className="text-muted">{shown.point.text}</p>}
        </ChartTip>
      )}
    </div>
  );
}

interface RowProps {
  strip: Strip;
  x: Scale;
  y: number;
  onSelect?(id: string): void;
  onShow(shown: Shown | null): void;
}

function StripRow({ strip, x, y, onSelect, onShow }: RowProps) {
  const colour = strip.colour ?? "var(--accent)";
  return (
    <g>
      {strip.name && (
        <text x={0} y={y + 4} className="fill-muted text-xs">
          {strip.name}
        </text>
      )}
      {strip.low != null && strip.high != null && (
        <rect
          x={x(strip.low)}
          width={Math.max(2, x(strip.high) - x(strip.low))}
          y={y - 15}
          height={30}
          rx={3}
          fill={colour}
          fillOpacity={0.14}
        />
      )}
      {strip.reference != null && (
        <line
          x1={x(strip.reference)}
          x2={x(strip.reference)}
          y1={y - 17}
          y2={y + 17}
          strokeDasharray="3 3"
          className="stroke-line-strong"
        />
      )}
      {strip.points.map((point) => {
        const dot = { x: x(point.value), y: y + jitter(point.id) * 10 };
        return (
          // biome-ignore lint/a11y/noStaticElementInteractions: the table beside it is the keyboard's way
          <circle
            key={point.id}
            cx={dot.x}
            cy={dot.y}
            r={point.isMarked ? 5 : 3.5}
            fill={point.isLeftOut ? "var(--surface)" : colour}
            fillOpacity={point.isLeftOut ? 1 : point.isMarked ? 1 : 0.6}
            stroke={point.isLeftOut ? "var(--line-strong)" : "var(--surface)"}
            strokeWidth={point.isLeftOut ? 1.25 : 0.75}
            className={cx(onSelect && "cursor-pointer")}
            onPointerEnter={() => onShow({ ...dot, point })}
            onPointerLeave={() => onShow(null)}
            onClick={onSelect && (() => onSelect(point.id))}
          />
        );
      })}
      {strip.median != null && (
        <line
          x1={x(strip.median)}
          x2={x(strip.median)}
          y1={y - 15}
          y2={y + 15}
          stroke={colour}
          strokeWidth={2}
        />
      )}
    </g>
  );
}
