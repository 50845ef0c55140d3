import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { fullMoment, moment } from "@/lib/format";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { Section } from "@/ui/card";
import { DataTable } from "@/ui/data-table";
import { decisionsQuery } from "@/views/performance/queries";
import { NoteForm } from "@/views/performance/trends/decide";
import { useDecisions } from "@/views/performance/trends/use-decisions";

/** Everything that was ever decided, newest first; nothing is ever taken out. */
export function DecisionLog() {
  const words = useMessages().performance.decide;
  const { data, hasNextPage, isFetchingNextPage, fetchNextPage } = useInfiniteQuery(decisionsQuery);
  const { undo } = useDecisions();
  const [wish, setWish] = useState<string | null>(null);
  if (!data) return null;
  const rows = data.pages.flatMap((page) => page.data);
  const wished = rows.find((row) => row.id === wish);
  return (
    <Section id="decisions" title={words.log}>
      {rows.length === 0 ? (
        <p className="text-[13px] text-muted">{words.logEmpty}</p>
      ) : (
        <DataTable
          caption={words.logTable}
          columns={[
            {
              key: "at",
              name: words.columns.at,
              value: (row) => row.at,
              cell: (row) => <time title={fullMoment(row.at)}>{moment(row.at)}</time>,
            },
            {
              key: "verb",
              name: words.columns.verb,
              value: (row) => words.done[row.verb],
              cell: (row) => (
                <>
                  {words.done[row.verb]}
                  {!row.holds && row.verb !== "undo" && (
                    <span className="block text-xs text-muted">{words.noLongerHolds}</span>
                  )}
                </>
              ),
            },
            { key: "author", name: words.columns.author, value: (row) => row.author },
            { key: "note", name: words.columns.note, value: (row) => row.note },
            { key: "about", name: words.columns.about, value: (row) => row.finding.text },
            {
              key: "undo",
              name: words.columns.undo,
              value: () => null,
              cell: (row) =>
                row.holds &&
                row.verb !== "undo" && (
                  <Button
                    size="sm"
                    aria-label={words.undoOf(`${words.done[row.verb]}, ${row.finding.text}`)}
                    onClick={() => setWish(row.id)}
                  >
                    {words.undo}
                  </Button>
                ),
            },
          ]}
          rows={rows}
          rowKey={(row) => row.id}
        />
      )}
      {hasNextPage && (
        <Button
          size="sm"
          className="mt-3"
          isBusy={isFetchingNextPage}
          onClick={() => void fetchNextPage()}
        >
          {words.more}
        </Button>
      )}
      {wished && (
        <div className="mt-4">
          <NoteForm
            key={wished.id}
            title={words.undoOf(`${words.done[wished.verb]}, ${wished.finding.text}`)}
            hint={null}
            submit={words.undoSave}
            isBusy={undo.isPending}
            onCancel={() => setWish(null)}
            onSubmit={(note) =>
              undo.mutate(
                { id: wished.id, note, changeId: wished.finding.id },
                { onSuccess: () => setWish(null) },
              )
            }
          />
        </div>
      )}
    </Section>
  );
}
