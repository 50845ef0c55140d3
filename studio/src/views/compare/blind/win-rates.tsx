import { useQuery } from "@tanstack/react-query";
import { number, percent } from "@/lib/format";
import { type Messages, useMessages } from "@/messages";
import { Section } from "@/ui/card";
import { ChartFrame } from "@/ui/chart-frame";
import type { Column } from "@/ui/data-table";
import { ErrorState, Skeleton } from "@/ui/states";
import { textOf } from "@/views/compare/blind/logic";
import { settingName } from "@/views/compare/blind/reveal";
import { RateChart } from "@/views/compare/charts/rate-chart";
import { type WinRate, winRatesQuery } from "@/views/compare/queries";

/** How often one setting was liked better than another. */
export function WinRates() {
  const messages = useMessages();
  const texts = messages.compare;
  const { data, error, isPending, refetch } = useQuery(winRatesQuery);
  const rates = (data?.data ?? []).filter((rate) => Object.keys(rate.differs).length > 0);
  return (
    <Section
      id="win-rates"
      title={texts.rates}
      text={
        data && !data.is_complete
          ? `${texts.ratesText} ${texts.ratesPartial(data.num_votes)}`
          : texts.ratesText
      }
    >
      {isPending && <Skeleton className="h-24" />}
      {error && <ErrorState error={error} onRetry={() => void refetch()} />}
      {data && rates.length === 0 && <p className="text-sm text-muted">{texts.ratesNone}</p>}
      {rates.length > 0 && (
        <ChartFrame
          title={texts.rates}
          isTitleHidden
          summary={texts.ratesSummary(rates.length)}
          columns={columnsOf(messages)}
          rows={rates}
          rowKey={keyOf}
        >
          <RateChart
            rows={rates.map((rate) => ({
              key: keyOf(rate),
              name: namesOf(rate, messages),
              ...valuesOf(rate),
              share: rate.second_wins?.share ?? null,
              low: rate.second_wins?.low ?? null,
              high: rate.second_wins?.high ?? null,
              verdict: verdictOf(rate, messages),
            }))}
          />
        </ChartFrame>
      )}
    </Section>
  );
}

const keyOf = (rate: WinRate): string => JSON.stringify(rate.differs);

function namesOf(rate: WinRate, messages: Messages): string {
  return Object.keys(rate.differs)
    .map((name) => settingName(name, messages))
    .join(", ");
}

function valuesOf(rate: WinRate): { first: string; second: string } {
  const pairs = Object.values(rate.differs);
  return {
    first: pairs.map((pair) => textOf(pair[0])).join(", "),
    second: pairs.map((pair) => textOf(pair[1])).join(", "),
  };
}

function verdictOf(rate: WinRate, messages: Messages): string {
  const texts = messages.compare;
  const { first, second } = valuesOf(rate);
  if (rate.preference === "first") return texts.prefers(first);
  if (rate.preference === "second") return texts.prefers(second);
  return rate.preference === "too few votes"
    ? texts.tooFew(rate.num_votes)
    : texts.noPreference(rate.num_votes);
}

function columnsOf(messages: Messages): Column<WinRate>[] {
  const texts = messages.compare;
  const share = (key: "share" | "low" | "high", name: string): Column<WinRate> => ({
    key,
    name,
    isNumeric: true,
    value: (rate) => rate.second_wins?.[key] ?? null,
    cell: (rate) => percent(rate.second_wins?.[key]),
  });
  const count = (key: "num_votes" | "ties" | "num_raters", name: string): Column<WinRate> => ({
    key,
    name,
    isNumeric: true,
    value: (rate) => rate[key],
    cell: (rate) => number(rate[key]),
  });
  return [
    { key: "setting", name: texts.setting, value: (rate) => namesOf(rate, messages) },
    { key: "first", name: texts.firstValue, value: (rate) => valuesOf(rate).first },
    { key: "second", name: texts.secondValue, value: (rate) => valuesOf(rate).second },
    share("share", texts.share),
    share("low", texts.low),
    share("high", texts.high),
    count("num_votes", texts.votes),
    count("ties", texts.ties),
    count("num_raters", texts.raters),
    { key: "verdict", name: texts.verdict, value: (rate) => verdictOf(rate, messages) },
  ];
}
