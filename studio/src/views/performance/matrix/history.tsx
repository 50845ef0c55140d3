import { useQuery } from "@tanstack/react-query";
import { duration, title } from "@/lib/format";
import { useMessages } from "@/messages";
import { type Column, DataTable } from "@/ui/data-table";
import { ErrorState, Skeleton } from "@/ui/states";
import { Choice } from "@/views/performance/choice";
import { claimsQuery, historiesQuery } from "@/views/performance/queries";
import { stateName } from "@/views/performance/words";

interface Told {
  label: string;
  job_type: string;
  state: string | null;
  total_s: number | null;
  phases_sum_s: number | null;
  doubt: string | null;
}

const text = (value: unknown): string | null => (typeof value === "string" ? value : null);
const seconds = (value: unknown): number | null => (typeof value === "number" ? value : null);

const told = (record: Record<string, unknown>): Told => ({
  label: text(record.label) ?? "",
  job_type: text(record.job_type) ?? "",
  state: text(record.state),
  total_s: seconds(record.total_s),
  phases_sum_s: seconds(record.phases_sum_s),
  doubt: text(record.doubt),
});

/** What was recorded on other machines: its own table, below the matrix. */
export function History({ name }: { name: string }) {
  const messages = useMessages();
  const words = messages.performance.history;
  const { data, error, refetch } = useQuery(claimsQuery(name));
  const columns: Column<Told>[] = [
    { key: "label", name: words.columns.label, value: (row) => row.label },
    { key: "job_type", name: words.columns.job_type, value: (row) => title(row.job_type) },
    { key: "state", name: words.columns.state, value: (row) => stateName(row.state, messages) },
    {
      key: "total",
      name: words.columns.total,
      value: (row) => row.total_s,
      cell: (row) => duration(row.total_s),
      isNumeric: true,
    },
    {
      key: "phases",
      name: words.columns.phases,
      value: (row) => row.phases_sum_s,
      cell: (row) => duration(row.phases_sum_s),
      isNumeric: true,
    },
    { key: "doubt", name: words.columns.doubt, value: (row) => row.doubt },
  ];
  if (error && !data) return <ErrorState error={error} onRetry={refetch} />;
  if (!data) return <Skeleton className="h-32" />;
  const rows = data.records.map(told);
  return (
    <section aria-label={words.title} className="rounded-xl border border-dashed border-line p-4">
      <h3 className="text-sm font-semibold">{words.title}</h3>
      <p className="max-w-prose text-[13px] text-muted">
        {words.text} {data.about}
      </p>
      <p className="numeric mt-1 mb-3 text-[13px] text-muted">
        {words.records(rows.length)}, {words.doubts(rows.filter((row) => row.doubt).length)}
      </p>
      <DataTable
        caption={`${words.title}: ${name}`}
        columns={columns}
        rows={rows}
        rowKey={(row, index) => `${row.label}-${index}`}
      />
    </section>
  );
}

/** Which history is shown below; none at first. */
export function HistoryChoice({
  value,
  onChange,
}: {
  value: string | null;
  onChange(name: string | null): void;
}) {
  const words = useMessages().performance.history;
  const { data, isPending } = useQuery(historiesQuery);
  // It has its place from the first: filters that wrap would push the table down.
  if (!isPending && !data?.data.length) return null;
  return (
    <Choice
      label={words.choose}
      value={value ?? ""}
      onChange={(name) => onChange(name || null)}
      options={[
        { value: "", label: words.off },
        ...(data?.data ?? []).map((each) => ({ value: each.name, label: each.name })),
      ]}
    />
  );
}
