import type { Scale } from "@/charts/scale";

const CHAR_PX = 6.3; // of a digit at 11 px

/** About how wide a label of an axis is, in pixels. */
export function labelWidth(text: string): number {
  return text.length * CHAR_PX;
}

interface AxisProps {
  scale: Scale;
  ticks: readonly number[];
  format(value: number): string;
}

/** Values at the left, with hairlines across. `width`: of the plot; `x`: where it begins. */
export function AxisLeft({
  scale,
  ticks,
  format,
  x,
  width,
}: AxisProps & { x: number; width: number }) {
  return (
    <g aria-hidden>
      {ticks.map((tick) => (
        <g key={tick}>
          <line
            x1={x}
            x2={x + width}
            y1={Math.round(scale(tick)) + 0.5}
            y2={Math.round(scale(tick)) + 0.5}
            className="stroke-line"
          />
          <text
            x={x - 8}
            y={scale(tick) + 4}
            textAnchor="end"
            className="numeric fill-muted text-[11px]"
          >
            {format(tick)}
          </text>
        </g>
      ))}
    </g>
  );
}

/** Values at the bottom. `y`: the base line; with `height`, hairlines reach up so far. */
export function AxisBottom({
  scale,
  ticks,
  format,
  y,
  height,
}: AxisProps & { y: number; height?: number }) {
  const [left, right] = scale.range;
  return (
    <g aria-hidden>
      {ticks.map((tick) => {
        const x = scale(tick);
        const half = labelWidth(format(tick)) / 2;
        const anchor = x - half < left ? "start" : x + half > right ? "end" : "middle";
        return (
          <g key={tick}>
            {height != null && (
              <line
                x1={Math.round(x) + 0.5}
                x2={Math.round(x) + 0.5}
                y1={y - height}
                y2={y}
                className="stroke-line"
              />
            )}
            <text x={x} y={y + 16} textAnchor={anchor} className="numeric fill-muted text-[11px]">
              {format(tick)}
            </text>
          </g>
        );
      })}
    </g>
  );
}
