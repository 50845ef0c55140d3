import { LiveSeries } from "@/charts/live-series";
import { bytes, number, percent } from "@/lib/format";
import { useMessages } from "@/messages";
import { ChartFrame } from "@/ui/chart-frame";
import type { Column } from "@/ui/data-table";
import { type DeviceSample, type DeviceSeries, deviceCourses } from "./device";

const HEIGHT = 130;
const UNITS = {
  utilisation: { format: (value: number) => percent(value), colour: "--accent", max: 1 },
  memory: { format: bytes, colour: "--phase-load", max: undefined },
  power: { format: (value: number) => `${number(value)} W`, colour: "--warn", max: undefined },
};

/** What the device did from the job's first second on, as it was sampled. */
export function DeviceCharts({ series }: { series: DeviceSeries }) {
  const { ledger: texts, gpus } = useMessages().performance.panels;
  return (
    <div className="grid grid-cols-1 gap-6 lg:grid-cols-2 2xl:grid-cols-3">
      {deviceCourses(series).map(({ key, samples }) => {
        const { format, colour, max } = UNITS[key];
        const name = gpus.measures[key];
        const values = samples.flatMap(({ value }) => (value === null ? [] : [value]));
        const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
        const summary = texts.deviceSummary(name, format(mean), format(Math.max(...values)));
        const columns: Column<DeviceSample>[] = [
          {
            key: "at",
            name: texts.deviceAt,
            value: (row) => row.at_s,
            cell: (row) => number(row.at_s, 1),
            isNumeric: true,
          },
          {
            key: "value",
            name,
            value: (row) => row.value,
            cell: (row) => (row.value === null ? "–" : format(row.value)),
            isNumeric: true,
          },
        ];
        return (
          <ChartFrame
            key={key}
            title={name}
            summary={summary}
            columns={columns}
            rows={samples}
            rowKey={(_, index) => String(index)}
          >
            <LiveSeries
              times={samples.map((each) => each.at_s)}
              lines={[{ name, values: samples.map((each) => each.value), colour }]}
              label={summary}
              height={HEIGHT}
              min={0}
              max={max}
              format={format}
              isElapsed
            />
          </ChartFrame>
        );
      })}
    </div>
  );
}
