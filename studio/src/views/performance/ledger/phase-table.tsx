import { duration, interval, percent } from "@/lib/format";
import { phaseName } from "@/lib/phases";
import { useMessages } from "@/messages";
import { type Column, DataTable } from "@/ui/data-table";
import { PhaseDot } from "@/ui/phase-bar";
import { type PhaseRow, phaseRows } from "./phases";
import type { JobPerformance } from "./queries";
import { ScoreBadge } from "./score-badge";

/** Phase by phase: how long, what share, what was to be expected, and the score. */
export function PhaseTable({ data }: { data: JobPerformance }) {
  const messages = useMessages();
  const texts = messages.performance.panels.ledger;
  const columns: Column<PhaseRow>[] = [
    {
      key: "phase",
      name: texts.phase,
      value: (row) => phaseName(row.phase, messages),
      cell: (row) => (
        <span className="inline-flex items-center gap-2 whitespace-nowrap">
          <PhaseDot phase={row.phase} />
          {phaseName(row.phase, messages)}
        </span>
      ),
    },
    {
      key: "seconds",
      name: texts.seconds,
      value: (row) => row.seconds,
      cell: (row) => duration(row.seconds),
      isNumeric: true,
    },
    {
      key: "share",
      name: texts.share,
      value: (row) => row.share,
      cell: (row) => percent(row.share, row.share < 0.01 ? 1 : 0),
      isNumeric: true,
    },
    {
      key: "expected",
      name: texts.expected,
      value: (row) => row.expected_s,
      cell: (row) => duration(row.expected_s),
      isNumeric: true,
    },
    {
      key: "interval",
      name: texts.scoreInterval,
      value: (row) => interval(row.low_s, row.high_s),
      isNumeric: true,
    },
    {
      key: "score",
      name: texts.score,
      value: (row) => row.score ?? "",
      cell: (row) => (row.score ? <ScoreBadge score={row.score} /> : "–"),
    },
  ];
  return (
    <DataTable
      caption={texts.phaseTable}
      columns={columns}
      rows={phaseRows(data)}
      rowKey={(row) => row.phase}
    />
  );
}
