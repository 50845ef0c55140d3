import { Download } from "lucide-react";
import { saveText, toCsv } from "@/lib/export";
import { useMessages } from "@/messages";
import { IconButton } from "@/ui/button";
import type { Column } from "@/ui/data-table";
import type { MatrixRow } from "@/views/performance/queries";
import { settingsText } from "@/views/performance/words";

/** The rows on screen as a file, with what the table only shows by marks. */
export function MatrixExport({ rows }: { rows: readonly MatrixRow[] }) {
  const messages = useMessages();
  const words = messages.performance.matrix;
  const columns: Column<MatrixRow>[] = [
    { key: "job_type", name: "job_type", value: (row) => row.job_type },
    { key: "preset", name: "preset", value: (row) => row.preset },
    { key: "settings", name: "settings", value: (row) => settingsText(row.settings, messages) },
    { key: "status", name: "status", value: (row) => row.status },
    { key: "state", name: "state", value: (row) => row.state },
    { key: "real_s", name: "real_s", value: (row) => row.real_s },
    { key: "low_s", name: "low_s", value: (row) => row.interval?.low ?? null },
    { key: "high_s", name: "high_s", value: (row) => row.interval?.high ?? null },
    { key: "expected_s", name: "expected_s", value: (row) => row.expected_s },
    { key: "variance", name: "variance", value: (row) => row.variance },
    { key: "cv", name: "cv", value: (row) => row.cv },
    { key: "quality", name: "quality", value: (row) => row.quality },
    { key: "n", name: "n", value: (row) => row.n },
    { key: "trend", name: "trend", value: (row) => row.trend },
    { key: "trend_shift", name: "trend_shift", value: (row) => row.trend_shift },
    { key: "notes", name: "notes", value: (row) => row.notes.join("; ") },
  ];
  return (
    <IconButton
      size="sm"
      label={`${messages.actions.exportCsv}: ${words.title}`}
      icon={<Download size={15} />}
      onClick={() => saveText("matrix.csv", toCsv(columns, rows), "text/csv")}
    />
  );
}
