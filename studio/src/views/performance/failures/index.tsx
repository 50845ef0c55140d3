import { useQuery } from "@tanstack/react-query";
import { CircleCheck } from "lucide-react";
import { useMemo } from "react";
import { fullMoment, percent } from "@/lib/format";
import { useMessages } from "@/messages";
import { Section } from "@/ui/card";
import { ChartFrame } from "@/ui/chart-frame";
import { ErrorState, Skeleton } from "@/ui/states";
import { type FailureClass, failureClasses, remarks } from "./classes";
import { FailureList } from "./failure-list";
import { failedQuery, succeededQuery } from "./queries";
import { RemarkTable } from "./remark-table";

/** What went wrong, by its cause; and what went through, but not as asked. */
export default function FailuresPanel() {
  const texts = useMessages().performance.panels.failures;
  const failed = useQuery(failedQuery);
  const classes = useMemo(() => failureClasses(failed.data ?? []), [failed.data]);
  return (
    <div className="grid grid-cols-1 gap-4 xl:grid-cols-2">
      <Section
        id="failures"
        title={texts.title}
        text={failed.data && texts.text(failed.data.length)}
      >
        {failed.error && !failed.data ? (
          <ErrorState error={failed.error} onRetry={() => void failed.refetch()} />
        ) : !failed.data ? (
          <Skeleton className="h-32" />
        ) : classes.length === 0 ? (
          <Fine text={texts.none} />
        ) : (
          <Classes classes={classes} />
        )}
      </Section>
      <NotClean />
    </div>
  );
}

function NotClean() {
  const texts = useMessages().performance.panels.failures;
  const { data, error, refetch } = useQuery(succeededQuery);
  const rows = useMemo(() => remarks(data ?? []), [data]);
  return (
    <Section id="not-clean" title={texts.notClean} text={texts.notCleanText}>
      {error && !data ? (
        <ErrorState error={error} onRetry={() => void refetch()} />
      ) : !data ? (
        <Skeleton className="h-24" />
      ) : rows.length === 0 ? (
        <Fine text={texts.allClean(data.length)} />
      ) : (
        <RemarkTable rows={rows} />
      )}
    </Section>
  );
}

function Fine({ text }: { text: string }) {
  return (
    <p className="flex items-center gap-2 py-4 text-sm text-muted">
      <CircleCheck size={16} className="shrink-0 text-good" aria-hidden />
      {text}
    </p>
  );
}

/** The list, and the same as a table and a file. */
function Classes({ classes }: { classes: readonly FailureClass[] }) {
  const texts = useMessages().performance.panels.failures;
  return (
    <ChartFrame
      title={texts.title}
      isTitleHidden
      summary={texts.text(classes.reduce((sum, each) => sum + each.n, 0))}
      columns={[
        { key: "code", name: texts.code, value: (row) => row.code },
        { key: "n", name: texts.jobs, value: (row) => row.n, isNumeric: true },
        {
          key: "share",
          name: texts.share,
          value: (row) => row.share,
          cell: (row) => percent(row.share),
          isNumeric: true,
        },
        {
          key: "last",
          name: texts.last,
          value: (row) => row.last_at,
          cell: (row) => fullMoment(row.last_at),
        },
        { key: "message", name: texts.what, value: (row) => row.message },
        { key: "job", name: texts.example, value: (row) => row.example.id },
      ]}
      rows={classes}
      rowKey={(row) => row.code}
    >
      <FailureList classes={classes} />
    </ChartFrame>
  );
}
