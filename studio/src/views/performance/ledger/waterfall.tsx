import { spansOf, Waterfall } from "@/charts/waterfall";
import { duration } from "@/lib/format";
import { phaseName } from "@/lib/phases";
import { useMessages } from "@/messages";
import { ChartFrame } from "@/ui/chart-frame";
import type { Column } from "@/ui/data-table";
import { partsOf } from "./phases";
import type { JobPerformance } from "./queries";

interface Row {
  phase: string;
  start_s: number;
  end_s: number | null;
  is_background?: boolean;
}

/** When each phase ran. Of a job that was deleted only lengths are known: they stand end to end. */
export function LedgerWaterfall({ data }: { data: JobPerformance }) {
  const messages = useMessages();
  const texts = messages.performance.panels.ledger;
  const { record } = data;
  const spans: Row[] = data.spans.length > 0 ? data.spans : spansOf(partsOf(record));
  const total_s = record.total_s ?? Math.max(0, ...spans.map((span) => span.end_s ?? 0));
  const columns: Column<Row>[] = [
    { key: "phase", name: texts.phase, value: (row) => phaseName(row.phase, messages) },
    {
      key: "start",
      name: texts.begins,
      value: (row) => row.start_s,
      cell: (row) => duration(row.start_s),
      isNumeric: true,
    },
    {
      key: "end",
      name: texts.ends,
      value: (row) => row.end_s,
      cell: (row) => duration(row.end_s),
      isNumeric: true,
    },
    {
      key: "background",
      name: texts.beside,
      value: (row) => (row.is_background ? texts.yes : texts.no),
    },
  ];
  const summary = texts.waterfallSummary(duration(total_s));
  return (
    <ChartFrame
      title={texts.waterfall}
      summary={summary}
      columns={columns}
      rows={spans}
      rowKey={(row, index) => `${row.phase}-${index}`}
    >
      <Waterfall spans={spans} total_s={total_s} label={summary} />
      <p className="mt-1 text-xs text-muted">
        {data.spans.length > 0 ? texts.besideHint : texts.noSpans}
      </p>
    </ChartFrame>
  );
}
