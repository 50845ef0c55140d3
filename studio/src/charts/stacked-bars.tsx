import { AxisBottom } from "@/charts/axis";
import { durationTicks, linearScale, tickDuration } from "@/charts/scale";
import { useWidth } from "@/charts/use-width";
import { duration, percent } from "@/lib/format";
import { orderedPhases, phaseColour, phaseName } from "@/lib/phases";
import { useMessages } from "@/messages";
import { PhaseDot } from "@/ui/phase-bar";

export interface StackedBar {
  key: string;
  name: string;
  /** Below the name: "resident, n = 12". */
  detail?: string;
  phases_s: Record<string, number>;
}

interface Props {
  bars: readonly StackedBar[];
  /** Each bar as wide as the others, cut by share. */
  isShare?: boolean;
  label: string;
}

const ROW = 48;
const BAR = 18;
const AXIS = 24;

/** Where time goes, bar by bar, in the colours of the phases; the legend is below. */
export function StackedBars({ bars, isShare, label }: Props) {
  const [ref, width] = useWidth<HTMLDivElement>();
  const messages = useMessages();
  const sums = bars.map((bar) => Object.values(bar.phases_s).reduce((a, b) => a + b, 0));
  const most = isShare ? 1 : Math.max(...sums, 0.001);
  const x = linearScale([0, most], [0, width - 68]);
  const count = Math.max(2, Math.floor(width / 72));
  const marks = isShare ? [0, 0.25, 0.5, 0.75, 1] : durationTicks(0, most, count);
  const step = (marks[1] ?? most) - (marks[0] ?? 0);
  const bottom = bars.length * ROW;
  return (
    <div ref={ref} className="min-w-0">
      <svg role="img" aria-label={label} width={width} height={bottom + AXIS} className="block">
        <AxisBottom
          scale={x}
          ticks={marks}
          format={(tick) => (isShare ? percent(tick) : tickDuration(tick, step))}
          y={bottom}
          height={bottom}
        />
        {bars.map((bar, index) => {
          const sum = sums[index] || 1;
          const y = index * ROW;
          let at = 0;
          return (
            <g key={bar.key}>
              <text x={0} y={y + 15} className="fill-ink text-xs font-medium">
                {bar.name}
                {bar.detail && width >= 480 && (
                  <tspan dx={8} className="fill-muted font-normal">
                    {bar.detail}
                  </tspan>
                )}
              </text>
              {orderedPhases(bar.phases_s).map(({ phase, seconds }) => {
                const from = x(isShare ? at / sum : at);
                at += seconds;
                const to = x(isShare ? at / sum : at);
                return (
                  <rect
                    key={phase}
                    x={from}
                    y={y + 22}
                    width={Math.max(0.75, to - from - 1)}
                    height={BAR}
                    rx={1.5}
                    fill={phaseColour(phase)}
                  >
                    <title>
                      {`${phaseName(phase, messages)}: ${duration(seconds)}, ${percent(seconds / sum)}`}
                    </title>
                  </rect>
                );
              })}
              <text
                x={x(isShare ? 1 : sum) + 6}
                y={y + 22 + BAR / 2 + 4}
                className="numeric fill-ink text-xs font-medium"
              >
                {duration(sums[index])}
              </text>
            </g>
          );
        })}
      </svg>
      <PhaseLegend phases={bars.map((bar) => bar.phases_s)} />
    </div>
  );
}

/** The phases that appear in any of these; those of one colour stand together. */
export function PhaseLegend({ phases }: { phases: readonly Record<string, number>[] }) {
  const messages = useMessages();
  const all = orderedPhases(Object.assign({}, ...phases) as Record<string, number>);
  const kinds = new Map<string, string[]>();
  for (const { phase } of all) {
    const colour = phaseColour(phase);
    kinds.set(colour, [...(kinds.get(colour) ?? []), phase]);
  }
  return (
    <ul className="mt-3 flex flex-wrap gap-x-4 gap-y-1 text-xs text-muted">
      {[...kinds.values()].map((parts) => (
        <li key={parts[0]} className="flex items-center gap-1.5">
          <PhaseDot phase={parts[0] ?? ""} />
          {parts.map((phase) => phaseName(phase, messages)).join(", ")}
        </li>
      ))}
    </ul>
  );
}
