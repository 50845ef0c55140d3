import { duration, number, title } from "@/lib/format";
import { useMessages } from "@/messages";
import { ChartFrame } from "@/ui/chart-frame";
import type { Column } from "@/ui/data-table";
import { type FleetCost, sortedCosts } from "./rows";

/** What a job of each type took in the period: GPU time and energy, as means. */
export function Costs({ costs }: { costs: readonly FleetCost[] }) {
  const texts = useMessages().performance.panels.fleet;
  const rows = sortedCosts(costs);
  if (rows.length === 0) return <p className="text-[13px] text-muted">{texts.noJobs}</p>;
  const most = Math.max(0, ...rows.map((row) => row.gpu_s ?? 0));
  const numJobs = rows.reduce((sum, row) => sum + row.num_jobs, 0);
  const columns: Column<FleetCost>[] = [
    { key: "type", name: texts.jobType, value: (row) => row.job_type },
    { key: "jobs", name: texts.jobs, value: (row) => row.num_jobs, isNumeric: true },
    {
      key: "run",
      name: texts.runTime,
      value: (row) => row.run_s,
      cell: (row) => duration(row.run_s),
      isNumeric: true,
    },
    {
      key: "gpu",
      name: texts.gpuSeconds,
      value: (row) => row.gpu_s,
      cell: (row) => number(row.gpu_s, 1),
      isNumeric: true,
    },
    {
      key: "energy",
      name: texts.wattHours,
      value: (row) => row.watt_hours,
      cell: (row) => number(row.watt_hours, 2),
      isNumeric: true,
    },
    { key: "measured", name: texts.measured, value: (row) => row.num_measured, isNumeric: true },
  ];
  return (
    <ChartFrame
      title={texts.costsTitle}
      summary={texts.costsSummary(rows.length, numJobs)}
      columns={columns}
      rows={rows}
      rowKey={(row) => row.job_type}
    >
      <ul>
        {rows.map((row) => (
          <Cost key={row.job_type} row={row} most={most} />
        ))}
      </ul>
    </ChartFrame>
  );
}

function Cost({ row, most }: { row: FleetCost; most: number }) {
  const texts = useMessages().performance.panels.fleet;
  return (
    <li className="grid grid-cols-[minmax(0,1fr)_auto] items-center gap-x-4 border-b border-line py-1.5 text-[13px] last:border-0 sm:grid-cols-[11rem_minmax(0,1fr)_10rem_7rem]">
      <span className="truncate">{title(row.job_type)}</span>
      <span aria-hidden className="hidden h-2 rounded-full bg-sunken sm:block">
        {row.gpu_s !== null && most > 0 && (
          <span
            className="block h-2 rounded-full bg-accent"
            style={{ width: `${(100 * row.gpu_s) / most}%` }}
          />
        )}
      </span>
      <span className="numeric text-right font-medium">
        {row.gpu_s === null
          ? texts.onProcessor(duration(row.run_s))
          : texts.gpuSecondsOf(number(row.gpu_s, 1))}
      </span>
      <span className="numeric col-span-2 text-xs text-muted sm:col-span-1 sm:text-right">
        {row.watt_hours === null
          ? texts.ofJobs(row.num_jobs)
          : texts.wattHoursOf(number(row.watt_hours, 2))}
      </span>
    </li>
  );
}
