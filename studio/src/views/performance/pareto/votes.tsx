import { useQuery } from "@tanstack/react-query";
import { percent } from "@/lib/format";
import { useMessages } from "@/messages";
import { Section } from "@/ui/card";
import { type Column, DataTable } from "@/ui/data-table";
import { Empty, ErrorState, Skeleton } from "@/ui/states";
import { LinkButton } from "@/views/performance/link-button";
import { type WinRate, winRatesQuery } from "./queries";

const side = (rate: WinRate, index: 0 | 1): string =>
  Object.entries(rate.differs)
    .map(([name, values]) => `${name.replaceAll("_", " ")} ${String(values[index])}`)
    .join(", ");

/** What people liked better without knowing which was which. */
export function Votes() {
  const texts = useMessages().performance.panels.pareto;
  const { data, error, refetch } = useQuery(winRatesQuery);
  const columns: Column<WinRate>[] = [
    { key: "first", name: texts.first, value: (row) => side(row, 0) },
    { key: "second", name: texts.second, value: (row) => side(row, 1) },
    { key: "votes", name: texts.votes, value: (row) => row.num_votes, isNumeric: true },
    { key: "ties", name: texts.ties, value: (row) => row.ties, isNumeric: true },
    {
      key: "share",
      name: texts.secondWins,
      value: (row) => row.second_wins?.share ?? null,
      cell: ({ second_wins: share }) =>
        share ? `${percent(share.share)} (${percent(share.low)} – ${percent(share.high)})` : "–",
      isNumeric: true,
    },
    { key: "text", name: texts.said, value: (row) => row.text },
  ];
  return (
    <Section
      id="votes"
      title={texts.votesTitle}
      text={texts.votesText}
      actions={<LinkButton href="/compare">{texts.vote}</LinkButton>}
    >
      {error && !data ? (
        <ErrorState error={error} onRetry={() => void refetch()} />
      ) : !data ? (
        <Skeleton className="h-24" />
      ) : data.data.length === 0 ? (
        <Empty title={texts.noVotes} text={texts.noVotesHint} />
      ) : (
        <DataTable
          caption={texts.votesTitle}
          columns={columns}
          rows={data.data}
          rowKey={(row) => JSON.stringify(row.differs)}
        />
      )}
    </Section>
  );
}
