import { useQuery } from "@tanstack/react-query";
import { fullMoment, moment } from "@/lib/format";
import { useMessages } from "@/messages";
import { Section } from "@/ui/card";
import { DataTable } from "@/ui/data-table";
import { decisionsQuery } from "@/views/performance/queries";

/** Everything that was ever decided, newest first; nothing is ever taken out. */
export function DecisionLog() {
  const words = useMessages().performance.decide;
  const { data } = useQuery(decisionsQuery);
  if (!data) return null;
  return (
    <Section id="decisions" title={words.log}>
      {data.data.length === 0 ? (
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
          ]}
          rows={data.data}
          rowKey={(row) => row.id}
        />
      )}
    </Section>
  );
}
