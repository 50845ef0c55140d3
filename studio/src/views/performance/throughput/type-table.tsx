import { Sparkline } from "@/charts/sparkline";
import { duration, number, title } from "@/lib/format";
import { useMessages } from "@/messages";
import { type Column, DataTable } from "@/ui/data-table";
import type { TypeRow } from "./waits";

/** What each job type did in the period. */
export function TypeTable({ rows }: { rows: readonly TypeRow[] }) {
  const texts = useMessages().performance.panels.throughput;
  const seconds = (value: number | null) => (value === null ? "–" : duration(value));
  const columns: Column<TypeRow>[] = [
    {
      key: "type",
      name: texts.jobType,
      value: (row) => row.job_type,
      cell: (row) => <span className="whitespace-nowrap">{title(row.job_type)}</span>,
    },
    {
      key: "course",
      name: texts.course,
      value: (row) => row.courses.join(" "),
      cell: (row) => (
        <Sparkline values={row.courses} label={texts.courseOf(row.done)} hasZero height={20} />
      ),
    },
    { key: "done", name: texts.done, value: (row) => row.done, isNumeric: true },
    { key: "failed", name: texts.failed, value: (row) => row.failed, isNumeric: true },
    {
      key: "rate",
      name: texts.perHour,
      value: (row) => row.perHour,
      cell: (row) => number(row.perHour, 1),
      isNumeric: true,
    },
    {
      key: "wait",
      name: texts.medianWait,
      value: (row) => row.median_wait_s,
      cell: (row) => seconds(row.median_wait_s),
      isNumeric: true,
    },
    {
      key: "p90",
      name: texts.p90Wait,
      value: (row) => row.p90_wait_s,
      cell: (row) => seconds(row.p90_wait_s),
      isNumeric: true,
    },
    {
      key: "run",
      name: texts.medianRun,
      value: (row) => row.median_run_s,
      cell: (row) => seconds(row.median_run_s),
      isNumeric: true,
    },
  ];
  return (
    <DataTable
      caption={texts.byType}
      columns={columns}
      rows={rows}
      rowKey={(row) => row.job_type}
      isCaptionShown
    />
  );
}
