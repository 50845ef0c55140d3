import { useState } from "react";
import { AxisBottom, AxisLeft, labelWidth } from "@/charts/axis";
import { linearScale, type Scale, tickMoment, ticks, timeTicks } from "@/charts/scale";
import { ChartTip } from "@/charts/tip";
import { useWidth } from "@/charts/use-width";

export interface TimeColumn {
  key: string;
  from_s: number;
  to_s: number;
  value: number | null;
  /** A whisker's end, above the value. */
  high?: number | null;
  /** When, and what was there: the tooltip's lines. */
  text: readonly string[];
}

interface Props {
  columns: readonly TimeColumn[];
  label: string;
  format(value: number): string;
  height?: number;
}

const LEAST_LEFT = 52;
const AXIS = 24;
const TOP = 8;

/** A value for each window of time, as columns; with a whisker where more is known. */
export function TimeColumns({ columns, label, format, height = 176 }: Props) {
  const [ref, width] = useWidth<HTMLDivElement>();
  const [active, setActive] = useState<number | null>(null);
  const most = Math.max(0, ...columns.flatMap(({ value, high }) => [value ?? 0, high ?? 0])) || 1;
  const marks = ticks(0, most, 3);
  const labels = marks.map((mark) => labelWidth(format(mark)) + 10);
  const inset = Math.max(LEAST_LEFT, ...labels);
  const [from, to] = [columns[0]?.from_s ?? 0, columns.at(-1)?.to_s ?? 1];
  const x = linearScale([from * 1000, to * 1000], [inset, width]);
  const y = linearScale([0, most * 1.06], [height - AXIS, TOP]);
  const span_ms = (to - from) * 1000;
  const moments = timeTicks(from * 1000, to * 1000, Math.max(2, Math.floor(width / 110)));
  const shown = active === null ? undefined : columns[active];
  return (
    <div ref={ref} className="relative min-w-0" onPointerLeave={() => setActive(null)}>
      <svg role="img" aria-label={label} width={width} height={height} className="block">
        <AxisLeft scale={y} ticks={marks} format={format} x={inset} width={width - inset} />
        <AxisBottom
          scale={x}
          ticks={moments}
          format={(at) => tickMoment(at, span_ms)}
          y={height - AXIS}
        />
        {columns.map((column, index) => (
          <g key={column.key} onPointerEnter={() => setActive(index)}>
            <Column column={column} x={x} y={y} isActive={active === index} />
          </g>
        ))}
      </svg>
      {shown && (
        <ChartTip x={x((shown.from_s + shown.to_s) * 500)} y={height / 2 - 12} width={width}>
          {shown.text.map((line, index) => (
            <p key={line} className={index === 0 ? "text-muted" : "numeric font-medium"}>
              {line}
            </p>
          ))}
        </ChartTip>
      )}
    </div>
  );
}

interface ColumnProps {
  column: TimeColumn;
  x: Scale;
  y: Scale;
  isActive: boolean;
}

function Column({ column, x, y, isActive }: ColumnProps) {
  const [left, right] = [x(column.from_s * 1000), x(column.to_s * 1000)];
  const gap = right - left > 8 ? 2 : 0.5;
  const middle = (left + right) / 2;
  const { value, high } = column;
  return (
    <>
      <rect
        x={left}
        y={TOP}
        width={right - left}
        height={y.range[0] - TOP}
        className={isActive ? "fill-sunken" : "fill-transparent"}
      />
      {value != null && value > 0 && (
        <rect
          x={left + gap}
          y={y(value)}
          width={Math.max(1, right - left - 2 * gap)}
          height={Math.max(1, y(0) - y(value))}
          rx={2}
          className="fill-accent"
        />
      )}
      {high != null && value != null && high > value && (
        <path
          d={`M${middle} ${y(value)}V${y(high)}M${middle - 3} ${y(high)}h6`}
          strokeWidth={1.5}
          fill="none"
          className="stroke-line-strong"
        />
      )}
    </>
  );
}
