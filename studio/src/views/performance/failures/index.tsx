import { useQuery } from "@tanstack/react-query";
import { CircleCheck, Download } from "lucide-react";
import { useMemo } from "react";
import { saveText, toCsv } from "@/lib/export";
import { useMessages } from "@/messages";
import { IconButton } from "@/ui/button";
import { Section } from "@/ui/card";
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
        actions={classes.length > 0 && <ExportButton classes={classes} />}
      >
        {failed.error ? (
          <ErrorState error={failed.error} onRetry={() => void failed.refetch()} />
        ) : !failed.data ? (
          <Skeleton className="h-32" />
        ) : classes.length === 0 ? (
          <Fine text={texts.none} />
        ) : (
          <FailureList classes={classes} />
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
      {error ? (
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

function ExportButton({ classes }: { classes: readonly FailureClass[] }) {
  const messages = useMessages();
  const texts = messages.performance.panels.failures;
  const save = () =>
    saveText(
      "failures.csv",
      toCsv(
        [
          { key: "code", name: "code", value: (row) => row.code },
          { key: "n", name: "jobs", value: (row) => row.n },
          { key: "share", name: "share", value: (row) => row.share },
          { key: "last", name: "last_at", value: (row) => row.last_at },
          { key: "message", name: "message", value: (row) => row.message },
          { key: "job", name: "example", value: (row) => row.example.id },
        ],
        classes,
      ),
      "text/csv",
    );
  return (
    <IconButton
      size="sm"
      label={`${messages.actions.exportCsv}: ${texts.title}`}
      icon={<Download size={15} />}
      onClick={save}
    />
  );
}
