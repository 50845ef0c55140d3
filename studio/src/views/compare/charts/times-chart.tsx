import { duration } from "@/lib/format";
import { orderedPhases, phaseColour, phaseName } from "@/lib/phases";
import { useMessages } from "@/messages";
import { useWidth } from "@/views/compare/charts/use-width";

export interface TimesRow {
  key: string;
  name: string;
  seconds: number;
  note: string;
  phases_s: Record<string, number>;
}

const ROW = 48;
const LEFT = 36;
const BAR = 8;
const GAP = 1;

/** One bar for each result, all on the scale of the longest. */
export function TimesChart({ rows }: { rows: readonly TimesRow[] }) {
  const { ref, width } = useWidth<HTMLDivElement>();
  const scale = Math.max(...rows.map((row) => row.seconds), 0);
  const label = rows.map((row) => `${row.name}: ${duration(row.seconds)}, ${row.note}`).join("; ");
  return (
    <div ref={ref} className="min-w-0 overflow-hidden">
      <svg role="img" aria-label={label} width={width} height={rows.length * ROW - 8}>
        {rows.map((row, at) => (
          <g key={row.key} transform={`translate(0 ${at * ROW})`}>
            <rect
              x="0.5"
              y="6.5"
              width="23"
              height="23"
              rx="6"
              fill="var(--raised)"
              stroke="var(--line)"
            />
            <text
              x="12"
              y="22"
              textAnchor="middle"
              fontSize="12"
              fontWeight="600"
              fill="var(--ink)"
            >
              {row.name}
            </text>
            <text x={LEFT} y="14" fontSize="13" fill="var(--muted)">
              <tspan fontWeight="500" fill="var(--ink)">
                {duration(row.seconds)}
              </tspan>
              <tspan dx="12">{row.note}</tspan>
            </text>
            <Bar row={row} scale={scale} width={width - LEFT} />
          </g>
        ))}
      </svg>
    </div>
  );
}

function Bar({ row, scale, width }: { row: TimesRow; scale: number; width: number }) {
  const messages = useMessages();
  const factor = scale > 0 ? width / scale : 0;
  let x = LEFT;
  return (
    <g>
      <rect x={LEFT} y="24" width={width} height={BAR} rx={BAR / 2} fill="var(--sunken)" />
      {orderedPhases(row.phases_s).map(({ phase, seconds }) => {
        const left = x;
        x += seconds * factor;
        return (
          <rect
            key={phase}
            x={left}
            y="24"
            width={Math.max(0.5, seconds * factor - GAP)}
            height={BAR}
            rx="1.5"
            fill={phaseColour(phase)}
          >
            <title>{`${phaseName(phase, messages)}: ${duration(seconds)}`}</title>
          </rect>
        );
      })}
    </g>
  );
}
