import { useMessages } from "@/messages";
import { type Column, DataTable } from "@/ui/data-table";
import { measuredText } from "./coverage";
import { GoalStatus } from "./goal-status";
import type { Goal } from "./queries";

/** Planned changes: how it was, how it should be, and what came of it. */
export function Roadmap({ rows }: { rows: readonly Goal[] }) {
  const texts = useMessages().performance.panels.goals;
  const columns: Column<Goal>[] = [
    {
      key: "what",
      name: texts.change,
      value: (row) => row.what,
      cell: (row) => (
        <span className="block min-w-44">
          <span className="font-medium">
            {row.what.charAt(0).toUpperCase() + row.what.slice(1)}
          </span>
          {row.method && <span className="block text-xs text-muted">{row.method}</span>}
        </span>
      ),
    },
    {
      key: "current",
      name: texts.current,
      value: (row) => row.current,
      cell: (row) => <span className="block min-w-28">{row.current ?? "–"}</span>,
    },
    {
      key: "target",
      name: texts.target,
      value: (row) => row.target,
      cell: (row) => <span className="block min-w-32">{row.target}</span>,
    },
    {
      key: "before",
      name: texts.before,
      value: (row) => row.before?.value ?? null,
      cell: (row) => measuredText(row.before),
      isNumeric: true,
    },
    {
      key: "after",
      name: texts.after,
      value: (row) => row.after?.value ?? null,
      cell: (row) => measuredText(row.after),
      isNumeric: true,
    },
    {
      key: "date",
      name: texts.date,
      value: (row) => row.due ?? row.horizon,
      cell: (row) => (
        <span className="whitespace-nowrap">
          {row.due ?? row.horizon ?? "–"}
          {row.after && <span className="block text-xs text-muted">{row.after.last}</span>}
        </span>
      ),
    },
    {
      key: "status",
      name: texts.status,
      value: (row) => row.status,
      cell: (row) => (
        <span title={row.reason}>
          <GoalStatus status={row.status} />
        </span>
      ),
    },
  ];
  return (
    <DataTable
      caption={texts.roadmapTable}
      columns={columns}
      rows={rows}
      rowKey={(row) => row.id}
    />
  );
}
