import { useState } from "react";
import { AxisBottom, AxisLeft } from "@/charts/axis";
import { linearScale, tickDuration, ticks } from "@/charts/scale";
import { ChartTip } from "@/charts/tip";
import { useWidth } from "@/charts/use-width";
import { duration } from "@/lib/format";
import { useMessages } from "@/messages";
import { Badge } from "@/ui/badge";
import { ChartFrame } from "@/ui/chart-frame";
import type { Column } from "@/ui/data-table";
import { markSteps, type Step, stepMedian } from "./steps";

const HEIGHT = 148;
const LEFT = 56;
const AXIS = 24;
const TOP = 12;

/** Every step's time; those that stand out carry a mark. */
export function StepChart({ times_s }: { times_s: readonly number[] }) {
  const texts = useMessages().performance.panels.ledger;
  const steps = markSteps(times_s);
  const middle = stepMedian(times_s);
  const outliers = steps.filter((step) => step.isOutlier);
  const summary = texts.stepsSummary(steps.length, duration(middle), outliers.length);
  const note = (step: Step) =>
    [step.isFirst && texts.firstStep, step.isOutlier && texts.outlier].filter(Boolean).join(", ");
  const columns: Column<Step>[] = [
    { key: "step", name: texts.step, value: (row) => row.number, isNumeric: true },
    {
      key: "seconds",
      name: texts.seconds,
      value: (row) => row.seconds,
      cell: (row) => duration(row.seconds),
      isNumeric: true,
    },
    { key: "note", name: texts.note, value: note },
  ];
  return (
    <ChartFrame
      title={texts.steps}
      summary={summary}
      columns={columns}
      rows={steps}
      rowKey={(row) => String(row.number)}
    >
      <Columns steps={steps} middle={middle} label={summary} note={note} />
      <p className="mt-1 flex flex-wrap items-center gap-x-3 gap-y-1 text-xs text-muted">
        {texts.stepMedian(duration(middle))}
        {outliers.length > 0 && <Badge tone="warn">{texts.outliers(outliers.length)}</Badge>}
      </p>
    </ChartFrame>
  );
}

interface ColumnsProps {
  steps: readonly Step[];
  middle: number | null;
  label: string;
  note(step: Step): string;
}

function Columns({ steps, middle, label, note }: ColumnsProps) {
  const [ref, width] = useWidth<HTMLDivElement>();
  const [active, setActive] = useState<number | null>(null);
  const texts = useMessages().performance.panels.ledger;
  const most = Math.max(...steps.map((step) => step.seconds), 1e-6);
  const x = linearScale([0.5, steps.length + 0.5], [LEFT, width]);
  const y = linearScale([0, most * 1.08], [HEIGHT - AXIS, TOP]);
  const values = ticks(0, most, 3);
  const unit = (values[1] ?? most) - (values[0] ?? 0);
  const numbers = ticks(1, steps.length, Math.max(2, Math.floor(width / 90))).filter(
    (tick) => Number.isInteger(tick) && tick >= 1,
  );
  const wide = Math.max(1, x(1) - x(0) - (x(1) - x(0) > 5 ? 2 : 0.5));
  const shown = active === null ? undefined : steps[active];
  return (
    <div ref={ref} className="relative min-w-0" onPointerLeave={() => setActive(null)}>
      <svg role="img" aria-label={label} width={width} height={HEIGHT} className="block">
        <AxisLeft
          scale={y}
          ticks={values}
          format={(value) => tickDuration(value, unit)}
          x={LEFT}
          width={width - LEFT}
        />
        <AxisBottom scale={x} ticks={numbers} format={String} y={HEIGHT - AXIS} />
        {steps.map((step, index) => (
          <g key={step.number} onPointerEnter={() => setActive(index)}>
            <rect
              x={x(step.number - 0.5)}
              y={TOP}
              width={x(1) - x(0)}
              height={HEIGHT - AXIS - TOP}
              className={active === index ? "fill-sunken" : "fill-transparent"}
            />
            <rect
              x={x(step.number) - wide / 2}
              y={y(step.seconds)}
              width={wide}
              height={Math.max(1, y(0) - y(step.seconds))}
              rx={1.5}
              fill="var(--phase-denoise)"
              fillOpacity={step.isFirst ? 0.45 : 1}
            />
            {step.isOutlier && (
              <path
                d={`M${x(step.number)} ${y(step.seconds) - 3}l-4 -6h8z`}
                className="fill-warn"
              />
            )}
          </g>
        ))}
        {middle !== null && (
          <line
            x1={LEFT}
            x2={width}
            y1={y(middle)}
            y2={y(middle)}
            strokeDasharray="3 3"
            className="stroke-ink"
          />
        )}
      </svg>
      {shown && (
        <ChartTip x={x(shown.number)} y={HEIGHT / 2} width={width}>
          <p className="text-muted">{texts.stepOf(shown.number)}</p>
          <p className="numeric font-medium">{duration(shown.seconds)}</p>
          {note(shown) && <p className="text-muted">{note(shown)}</p>}
        </ChartTip>
      )}
    </div>
  );
}
