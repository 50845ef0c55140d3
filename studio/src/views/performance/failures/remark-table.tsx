import { ago, fullMoment, title } from "@/lib/format";
import { useMessages } from "@/messages";
import { Badge } from "@/ui/badge";
import { type Column, DataTable } from "@/ui/data-table";
import type { Remark } from "./classes";
import { ExampleLink } from "./failure-list";

/** Jobs that succeeded, but not as asked: told, and never counted as clean. */
export function RemarkTable({ rows }: { rows: readonly Remark[] }) {
  const texts = useMessages().performance.panels.failures;
  const words = (row: Remark) =>
    row.kind === "enhancement"
      ? (texts.verdicts[row.code as keyof typeof texts.verdicts] ?? title(row.code))
      : (row.text ?? title(row.code));
  const columns: Column<Remark>[] = [
    {
      key: "kind",
      name: texts.kind,
      value: (row) => row.kind,
      cell: (row) => (
        <Badge tone={row.kind === "enhancement" ? "warn" : "neutral"}>
          {texts.kinds[row.kind]}
        </Badge>
      ),
    },
    {
      key: "what",
      name: texts.what,
      value: words,
      cell: (row) => <span className="block min-w-48">{words(row)}</span>,
    },
    { key: "n", name: texts.jobs, value: (row) => row.n, isNumeric: true },
    {
      key: "last",
      name: texts.last,
      value: (row) => row.last_at,
      cell: (row) => (
        <span className="whitespace-nowrap" title={fullMoment(row.last_at)}>
          {ago(row.last_at)}
        </span>
      ),
    },
    {
      key: "example",
      name: texts.example,
      value: (row) => row.example.id,
      cell: (row) => <ExampleLink id={row.example.id} />,
    },
  ];
  return (
    <DataTable
      caption={texts.notClean}
      columns={columns}
      rows={rows}
      rowKey={(row) => `${row.kind}:${row.code}`}
    />
  );
}
