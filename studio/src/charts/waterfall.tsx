import { AxisBottom } from "@/charts/axis";
import { durationTicks, linearScale, type Scale, tickDuration } from "@/charts/scale";
import { useWidth } from "@/charts/use-width";
import { type WaterfallRow, type WaterfallSpan, waterfallRows } from "@/charts/waterfall-rows";
import { duration } from "@/lib/format";
import { phaseColour, phaseName } from "@/lib/phases";
import { useMessages } from "@/messages";

export { spansOf, type WaterfallSpan } from "@/charts/waterfall-rows";

interface Props {
  /** Seconds since the job's first; those of one phase share a row. */
  spans: readonly WaterfallSpan[];
  /** What the clock reaches to: the job's time, or what is expected of a running one. */
  total_s: number;
  /** Where a running job is: a line, and the end of open spans. */
  now_s?: number;
  /** Marks the expected end of a running job (its interval, in seconds). */
  expected?: { low_s: number; high_s: number };
  /** What is to be seen, for screen readers. */
  label: string;
}

const ROW = 24;
const BAR = 12;
const AXIS = 24;

/** A job's phases on one clock: what follows on what, and what runs beside it. */
export function Waterfall({ spans, total_s, now_s, expected, label }: Props) {
  const [ref, width] = useWidth<HTMLDivElement>();
  const rows = waterfallRows(spans, now_s ?? total_s);
  const left = width < 520 ? 104 : 144;
  const right = width < 520 ? 52 : 64;
  const end = Math.max(total_s, expected?.high_s ?? 0, now_s ?? 0, 0.001);
  const x = linearScale([0, end], [left, width - right]);
  const marks = durationTicks(0, end, Math.max(2, Math.floor((width - left - right) / 84)));
  const step = (marks[1] ?? end) - (marks[0] ?? 0);
  const bottom = rows.length * ROW + 4;
  return (
    <div ref={ref} className="min-w-0">
      <svg role="img" aria-label={label} width={width} height={bottom + AXIS} className="block">
        {expected && (
          <rect
            x={x(expected.low_s)}
            width={Math.max(1, x(expected.high_s) - x(expected.low_s))}
            y={0}
            height={bottom}
            className="fill-accent-soft"
          />
        )}
        <AxisBottom
          scale={x}
          ticks={marks}
          format={(tick) => tickDuration(tick, step)}
          y={bottom}
          height={bottom}
        />
        {rows.map((row, index) => (
          <Row key={row.phase} row={row} x={x} y={index * ROW + 2} width={width} />
        ))}
        {now_s != null && (
          <line
            x1={x(now_s)}
            x2={x(now_s)}
            y1={0}
            y2={bottom}
            strokeWidth={1.5}
            className="stroke-accent"
          />
        )}
      </svg>
    </div>
  );
}

function Row({ row, x, y, width }: { row: WaterfallRow; x: Scale; y: number; width: number }) {
  const messages = useMessages();
  const name = phaseName(row.phase, messages);
  const colour = phaseColour(row.phase);
  return (
    <g>
      <title>{`${name}: ${duration(row.seconds)}`}</title>
      <text x={0} y={y + ROW / 2 + 4} className="fill-muted text-xs">
        {name}
      </text>
      {row.bars.map((bar) => (
        <rect
          key={`${bar.start_s}-${bar.is_background}`}
          x={x(bar.start_s)}
          y={y + (ROW - BAR) / 2}
          width={Math.max(2, x(bar.end_s) - x(bar.start_s))}
          height={BAR}
          rx={2.5}
          fill={colour}
          fillOpacity={bar.is_background ? 0.28 : bar.isOpen ? 0.75 : 1}
          stroke={bar.is_background ? colour : "none"}
          strokeDasharray={bar.is_background ? "3 2" : undefined}
        />
      ))}
      <text
        x={width}
        y={y + ROW / 2 + 4}
        textAnchor="end"
        className="numeric fill-ink text-xs font-medium"
      >
        {duration(row.seconds)}
      </text>
    </g>
  );
}
