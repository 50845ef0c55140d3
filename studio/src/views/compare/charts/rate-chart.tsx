import { percent } from "@/lib/format";
import { useMessages } from "@/messages";
import { cut, useWidth } from "@/views/compare/charts/use-width";

export interface RateRow {
  key: string;
  name: string;
  first: string;
  second: string;
  share: number | null;
  low: number | null;
  high: number | null;
  verdict: string;
}

const NARROW = 560;
const NAMES = 224;
const VALUE = 84;
const CHAR = 7; // about a character's width

/** By pair of values: the share of votes for the second, its interval, the line of no preference. */
export function RateChart({ rows }: { rows: readonly RateRow[] }) {
  const texts = useMessages().compare;
  const { ref, width } = useWidth<HTMLDivElement>();
  const isNarrow = width < NARROW;
  const height = isNarrow ? 84 : 52;
  const label = rows
    .map((row) => `${row.name}: ${texts.whisker(row.second, percent(row.share))}, ${row.verdict}`)
    .join("; ");
  const left = isNarrow ? 0 : NAMES;
  const middle = isNarrow ? 60 : 26;
  const chars = Math.floor((isNarrow ? width : NAMES - 12) / CHAR);
  return (
    <div ref={ref} className="min-w-0 overflow-hidden">
      <svg role="img" aria-label={label} width={width} height={rows.length * height}>
        {rows.map((row, at) => (
          <g key={row.key} transform={`translate(0 ${at * height})`}>
            {at > 0 && <line x1="0" x2={width} y1="0" y2="0" stroke="var(--line)" />}
            <text x="0" y="22" fontSize="13" fontWeight="500" fill="var(--ink)">
              <title>{row.name}</title>
              {cut(row.name, chars)}
            </text>
            <text x="0" y="39" fontSize="12" fill="var(--muted)">
              {cut(row.verdict, chars)}
            </text>
            <Value x={left + VALUE - 12} y={middle} text={row.first} anchor="end" />
            <Whisker row={row} left={left + VALUE} right={width - VALUE} y={middle} />
            <Value x={width - VALUE + 12} y={middle} text={row.second} anchor="start" />
          </g>
        ))}
      </svg>
    </div>
  );
}

interface ValueProps {
  x: number;
  y: number;
  text: string;
  anchor: "start" | "end";
}

function Value({ x, y, text, anchor }: ValueProps) {
  return (
    <text x={x} y={y + 4.5} fontSize="13" textAnchor={anchor} fill="var(--ink)">
      <title>{text}</title>
      {cut(text, Math.floor((VALUE - 12) / CHAR))}
    </text>
  );
}

interface WhiskerProps {
  row: RateRow;
  left: number;
  right: number;
  y: number;
}

function Whisker({ row: { share, low, high }, left, right, y }: WhiskerProps) {
  const x = (of: number) => left + of * (right - left);
  return (
    <g>
      <line x1={left} x2={right} y1={y} y2={y} stroke="var(--line)" />
      <line
        x1={x(0.5)}
        x2={x(0.5)}
        y1={y - 10}
        y2={y + 10}
        stroke="var(--line-strong)"
        strokeDasharray="2 2"
      />
      {share !== null && low !== null && high !== null && (
        <g stroke="var(--accent)" strokeWidth="2">
          <line x1={x(low)} x2={x(high)} y1={y} y2={y} />
          <line x1={x(low)} x2={x(low)} y1={y - 4} y2={y + 4} />
          <line x1={x(high)} x2={x(high)} y1={y - 4} y2={y + 4} />
          <circle cx={x(share)} cy={y} r="5" fill="var(--accent)" stroke="var(--surface)" />
        </g>
      )}
    </g>
  );
}
