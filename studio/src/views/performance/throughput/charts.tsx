import { duration, moment, number } from "@/lib/format";
import { useMessages } from "@/messages";
import { ChartFrame } from "@/ui/chart-frame";
import type { Column } from "@/ui/data-table";
import { TimeColumns } from "./time-columns";
import type { RateWindow, WaitWindow, Window } from "./waits";

const span = ({ from_s, to_s }: Window) => `${moment(from_s)} – ${moment(to_s)}`;

export function RateChart({ windows }: { windows: readonly RateWindow[] }) {
  const texts = useMessages().performance.panels.throughput;
  const total = windows.reduce((sum, window) => sum + window.n, 0);
  const best = Math.max(0, ...windows.map((window) => window.perHour));
  const types = [...new Set(windows.flatMap((window) => Object.keys(window.byType)))].sort();
  const columns: Column<RateWindow>[] = [
    { key: "when", name: texts.when, value: span },
    {
      key: "rate",
      name: texts.perHour,
      value: (row) => row.perHour,
      cell: (row) => number(row.perHour, 1),
      isNumeric: true,
    },
    { key: "n", name: texts.done, value: (row) => row.n, isNumeric: true },
    ...types.map((name) => ({
      key: name,
      name,
      value: (row: RateWindow) => row.byType[name] ?? 0,
      isNumeric: true,
    })),
  ];
  return (
    <ChartFrame
      title={texts.rate}
      summary={texts.rateSummary(total, number(best, 0))}
      columns={columns}
      rows={windows}
      rowKey={(row) => row.key}
    >
      <TimeColumns
        label={texts.rateSummary(total, number(best, 0))}
        format={(value) => number(value, value > 0 && value < 5 && value % 1 !== 0 ? 1 : 0)}
        columns={windows.map((window) => ({
          key: window.key,
          from_s: window.from_s,
          to_s: window.to_s,
          value: window.perHour,
          text: [span(window), texts.rateOf(number(window.perHour, 1), window.n)],
        }))}
      />
    </ChartFrame>
  );
}

export function WaitChart({ windows }: { windows: readonly WaitWindow[] }) {
  const texts = useMessages().performance.panels.throughput;
  const n = windows.reduce((sum, window) => sum + window.n, 0);
  const worst = Math.max(0, ...windows.map((window) => window.median_s ?? 0));
  const columns: Column<WaitWindow>[] = [
    { key: "when", name: texts.when, value: span },
    { key: "n", name: texts.started, value: (row) => row.n, isNumeric: true },
    {
      key: "median",
      name: texts.medianWait,
      value: (row) => row.median_s,
      cell: (row) => duration(row.median_s),
      isNumeric: true,
    },
    {
      key: "p90",
      name: texts.p90Wait,
      value: (row) => row.p90_s,
      cell: (row) => duration(row.p90_s),
      isNumeric: true,
    },
  ];
  return (
    <ChartFrame
      title={texts.wait}
      summary={texts.waitSummary(n, duration(worst))}
      columns={columns}
      rows={windows}
      rowKey={(row) => row.key}
    >
      <TimeColumns
        label={texts.waitSummary(n, duration(worst))}
        format={(value) => (value === 0 ? "0" : duration(value))}
        columns={windows.map((window) => ({
          key: window.key,
          from_s: window.from_s,
          to_s: window.to_s,
          value: window.median_s,
          high: window.p90_s,
          text: [
            span(window),
            window.n === 0 ? texts.noStart : texts.waitOf(duration(window.median_s), window.n),
            ...(window.p90_s === null ? [] : [texts.p90Of(duration(window.p90_s))]),
          ],
        }))}
      />
    </ChartFrame>
  );
}
