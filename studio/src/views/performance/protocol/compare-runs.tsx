import { useQuery } from "@tanstack/react-query";
import { duration, percent, title } from "@/lib/format";
import { useMessages } from "@/messages";
import { Section } from "@/ui/card";
import { type Column, DataTable } from "@/ui/data-table";
import { ErrorState, Skeleton } from "@/ui/states";
import { reportQuery } from "./queries";
import { type ComparedCase, compareGroups, readReport } from "./report";

/** Two runs side by side: figures, and the command that gives the verdict. */
export function CompareRuns({ before, after }: { before: string; after: string }) {
  const texts = useMessages().performance.panels.protocol;
  const earlier = useQuery(reportQuery(before));
  const later = useQuery(reportQuery(after));
  const error = earlier.error ?? later.error;
  const columns: Column<ComparedCase>[] = [
    { key: "case", name: texts.case, value: (row) => title(row.case) },
    { key: "state", name: texts.state, value: (row) => row.state },
    {
      key: "before",
      name: texts.before,
      value: (row) => row.before?.median ?? null,
      cell: (row) => duration(row.before?.median),
      isNumeric: true,
    },
    {
      key: "after",
      name: texts.after,
      value: (row) => row.after?.median ?? null,
      cell: (row) => duration(row.after?.median),
      isNumeric: true,
    },
    {
      key: "change",
      name: texts.change,
      value: (row) => row.change,
      cell: (row) => percent(row.change, 1, true),
      isNumeric: true,
    },
  ];
  return (
    <Section
      id="compare-runs"
      title={texts.compareTitle}
      text={
        <>
          {texts.compareText}{" "}
          <code className="text-xs break-words">{`ourvidz bench compare ${before} ${after}`}</code>
        </>
      }
    >
      {error && !(earlier.data && later.data) ? (
        <ErrorState error={error} />
      ) : !earlier.data || !later.data ? (
        <Skeleton className="h-24" />
      ) : (
        <DataTable
          caption={texts.compareTitle}
          columns={columns}
          rows={compareGroups(readReport(earlier.data).groups, readReport(later.data).groups)}
          rowKey={(row) => row.key}
        />
      )}
    </Section>
  );
}
