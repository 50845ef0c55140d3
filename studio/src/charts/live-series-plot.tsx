import { useEffect, useRef, useSyncExternalStore } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { number } from "@/lib/format";

export interface LiveLine {
  name: string;
  /** One value for each moment; null leaves a gap. */
  values: readonly (number | null)[];
  /** The name of a CSS variable: "--accent", "--phase-decode". */
  colour: string;
  isDashed?: boolean;
}

export interface LiveSeriesProps {
  /** Unix seconds, ascending; with `isElapsed`, seconds since the beginning. */
  times: readonly number[];
  lines: readonly LiveLine[];
  /** What is to be seen, for screen readers. */
  label: string;
  format?(value: number): string;
  isElapsed?: boolean;
  height?: number;
  min?: number;
  max?: number;
}

const colourOf = (variable: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(variable).trim() || "currentColor";

function onTheme(tell: () => void): () => void {
  const observer = new MutationObserver(tell);
  observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  return () => observer.disconnect();
}

/** A moment of the axis in the browser's language, to the second. */
function clock(unix_s: number): string {
  return new Date(unix_s * 1000).toLocaleTimeString(document.documentElement.lang || undefined, {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  });
}

const themeNow = (): string => document.documentElement.dataset.theme ?? "light";

/** uPlot in the page's colours; made anew when the theme or the lines change, fed otherwise. */
export default function LiveSeriesPlot(props: LiveSeriesProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const theme = useSyncExternalStore(onTheme, themeNow);
  const { times, lines, height = 160, isElapsed, min, max } = props;
  const kind = lines.map((line) => `${line.name}|${line.colour}|${line.isDashed}`).join(";");
  const latest = useRef(props);
  latest.current = props;

  // biome-ignore lint/correctness/useExhaustiveDependencies: `kind` and `theme` stand for what is read
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const made = new uPlot(
      optionsOf(latest.current, element.clientWidth),
      dataOf(latest.current),
      element,
    );
    plot.current = made;
    const observer = new ResizeObserver(() =>
      made.setSize({ width: Math.max(120, element.clientWidth), height }),
    );
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [kind, theme, height, isElapsed, min, max]);

  useEffect(() => {
    plot.current?.setData(dataOf({ times, lines }));
  }, [times, lines]);

  return <div ref={box} role="img" aria-label={props.label} className="min-w-0 overflow-hidden" />;
}

function dataOf({ times, lines }: Pick<LiveSeriesProps, "times" | "lines">): uPlot.AlignedData {
  return [[...times], ...lines.map((line) => [...line.values])];
}

function optionsOf(props: LiveSeriesProps, width: number): uPlot.Options {
  const { lines, height = 160, isElapsed, min, max, format = (value) => number(value) } = props;
  const axis: uPlot.Axis = {
    stroke: colourOf("--muted"),
    font: "11px 'Inter Variable', sans-serif",
    grid: { stroke: colourOf("--line"), width: 1 },
    ticks: { show: false },
  };
  return {
    width: Math.max(120, width),
    height,
    legend: { show: false },
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
    scales: {
      x: { time: !isElapsed },
      y: {
        range: (_, low, high) => [min ?? low, max ?? (high === low ? high + 1 : high * 1.05)],
      },
    },
    axes: [
      isElapsed ? axis : { ...axis, space: 80, values: (_, splits) => splits.map(clock) },
      { ...axis, size: 60, values: (_, splits) => splits.map((value) => format(value)) },
    ],
    series: [
      {},
      ...lines.map((line) => ({
        label: line.name,
        stroke: colourOf(line.colour),
        width: 1.5,
        dash: line.isDashed ? [4, 3] : undefined,
        points: { show: false },
      })),
    ],
  };
}
