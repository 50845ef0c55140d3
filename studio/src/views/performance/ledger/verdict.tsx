import { percent } from "@/lib/format";
import { useMessages } from "@/messages";
import { Badge, type Tone } from "@/ui/badge";
import { type Column, DataTable } from "@/ui/data-table";
import { measureName, measureValue } from "@/views/performance/words";

/** What is read of a verdict; the whole of it stands in the answer. */
export interface VerdictValue {
  outcome: string;
  text: string;
  measures: MeasureVerdict[];
}

interface MeasureVerdict {
  measure: string;
  outcome: string;
  num_before: number;
  num_after: number;
  median_before: number | null;
  median_after: number | null;
  text: string;
}

const TONES: Record<string, Tone> = {
  regression: "bad",
  improvement: "good",
  no_change: "neutral",
  indicative: "neutral",
};

export function OutcomeBadge({ outcome }: { outcome: string }) {
  const texts = useMessages().performance.panels.ledger.outcomes;
  return (
    <Badge tone={TONES[outcome] ?? "neutral"}>
      {texts[outcome as keyof typeof texts] ?? outcome}
    </Badge>
  );
}

const change = ({ median_before, median_after }: MeasureVerdict): number | null =>
  median_before && median_after !== null ? median_after / median_before - 1 : null;

/** Each measure of two groups of runs, with what can be said of it. */
export function VerdictTable({ verdict }: { verdict: VerdictValue }) {
  const messages = useMessages();
  const texts = messages.performance.panels.ledger;
  const columns: Column<MeasureVerdict>[] = [
    {
      key: "measure",
      name: texts.measure,
      value: (row) => row.measure,
      cell: (row) => (
        <span className="whitespace-nowrap">{measureName(row.measure, messages)}</span>
      ),
    },
    {
      key: "before",
      name: texts.before,
      value: (row) => row.median_before,
      cell: (row) => measureValue(row.measure, row.median_before),
      isNumeric: true,
    },
    {
      key: "after",
      name: texts.after,
      value: (row) => row.median_after,
      cell: (row) => measureValue(row.measure, row.median_after),
      isNumeric: true,
    },
    {
      key: "change",
      name: texts.change,
      value: change,
      cell: (row) => percent(change(row), 1, true),
      isNumeric: true,
    },
    {
      key: "outcome",
      name: texts.outcome,
      value: (row) => row.outcome,
      cell: (row) => <OutcomeBadge outcome={row.outcome} />,
    },
  ];
  return (
    <div>
      <p className="mb-2 text-[13px]">{verdict.text}</p>
      <DataTable
        caption={texts.verdict}
        columns={columns}
        rows={verdict.measures}
        rowKey={(row) => row.measure}
      />
    </div>
  );
}
