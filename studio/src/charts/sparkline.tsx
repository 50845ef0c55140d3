import { domainOf, linearScale } from "@/charts/scale";
import { cx } from "@/ui/cx";

interface Props {
  /** Oldest first; null leaves a gap. */
  values: readonly (number | null)[];
  /** What it says, for those who don't see it: "0.42 s a step, steady". */
  label: string;
  width?: number;
  height?: number;
  /** A level to compare with, such as the baseline's median: a dashed hairline. */
  reference?: number | null;
  /** Any CSS colour; the accent unless told. */
  colour?: string;
  hasZero?: boolean;
  className?: string;
}

/** The path through the values; each gap begins a new line. */
export function sparkPath(
  values: readonly (number | null)[],
  x: (index: number) => number,
  y: (value: number) => number,
): string {
  let isOpen = false;
  return values
    .map((value, index) => {
      if (value == null || !Number.isFinite(value)) {
        isOpen = false;
        return "";
      }
      const command = isOpen ? "L" : "M";
      isOpen = true;
      return `${command}${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
    })
    .join("");
}

/** A course of values the size of a word. */
export function Sparkline(props: Props) {
  const { values, label, width = 96, height = 24, reference, hasZero, className } = props;
  const colour = props.colour ?? "var(--accent)";
  const x = linearScale([0, Math.max(1, values.length - 1)], [2, width - 3]);
  const y = linearScale(domainOf([...values, reference], { hasZero }), [height - 2, 2]);
  const last = values.findLastIndex((value) => value != null && Number.isFinite(value));
  const lastValue = values[last];
  return (
    <svg
      role="img"
      aria-label={label}
      width={width}
      height={height}
      viewBox={`0 0 ${width} ${height}`}
      className={cx("block shrink-0 overflow-visible", className)}
    >
      {reference != null && (
        <line
          x1={0}
          x2={width}
          y1={y(reference)}
          y2={y(reference)}
          strokeDasharray="2 3"
          className="stroke-line-strong"
        />
      )}
      <path
        d={sparkPath(values, x, y)}
        fill="none"
        stroke={colour}
        strokeWidth={1.5}
        strokeLinejoin="round"
        strokeLinecap="round"
      />
      {lastValue != null && <circle cx={x(last)} cy={y(lastValue)} r={2.25} fill={colour} />}
    </svg>
  );
}
