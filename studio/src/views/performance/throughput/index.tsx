import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useSearchParams } from "wouter";
import { activeQuery } from "@/api/queries";
import { number } from "@/lib/format";
import { useMessages } from "@/messages";
import { Section } from "@/ui/card";
import { Empty, ErrorState, Skeleton } from "@/ui/states";
import { Segmented } from "@/ui/tabs";
import { RateChart, WaitChart } from "./charts";
import { LiveDepth } from "./live-depth";
import { periodRecordsQuery } from "./queries";
import { TypeTable } from "./type-table";
import {
  isPeriod,
  PERIODS,
  type Period,
  ratesIn,
  startsOf,
  typeRows,
  waitsIn,
  windowsOf,
} from "./waits";

const PERIOD_NAMES = Object.keys(PERIODS) as Period[];

/** The queue now, and what it let through. */
export default function ThroughputPanel() {
  const texts = useMessages().performance.panels.throughput;
  const [params, setParams] = useSearchParams();
  const wish = params.get("period");
  const period: Period = isPeriod(wish) ? wish : "hour";
  const choose = (next: Period) =>
    setParams(
      (known) => {
        known.set("period", next);
        return known;
      },
      { replace: true },
    );
  return (
    <div className="flex flex-col gap-4">
      <Section id="queue-now" title={texts.now} text={texts.nowText}>
        <LiveDepth />
      </Section>
      <Section
        id="throughput"
        title={texts.title}
        text={texts.text}
        actions={
          <Segmented
            value={period}
            onChange={choose}
            label={texts.period}
            options={PERIOD_NAMES.map((value) => ({ value, label: texts.periods[value] }))}
          />
        }
      >
        <PeriodBody period={period} />
      </Section>
    </div>
  );
}

function PeriodBody({ period }: { period: Period }) {
  const texts = useMessages().performance.panels.throughput;
  const { data: active } = useQuery(activeQuery);
  const { data, error, refetch } = useQuery(periodRecordsQuery(period));
  const found = useMemo(() => {
    if (!data) return null;
    const windows = windowsOf(period, data.now_s);
    const rates = ratesIn(windows, data.records);
    const starts = startsOf(data.records, active ?? []);
    return {
      rates,
      waits: waitsIn(windows, starts),
      types: typeRows(rates, data.records, starts),
    };
  }, [data, active, period]);
  if (error && !data) return <ErrorState error={error} onRetry={() => void refetch()} />;
  if (!found) return <Skeleton className="h-56" />;
  if (found.types.length === 0) return <Empty title={texts.empty} text={texts.emptyHint} />;
  return (
    <div className="flex flex-col gap-6">
      <div className="grid grid-cols-1 gap-6 xl:grid-cols-2 xl:gap-8">
        <RateChart windows={found.rates} />
        <WaitChart windows={found.waits} />
      </div>
      <TypeTable rows={found.types} />
      {data?.isCut && (
        <p className="text-xs text-muted">{texts.cut(number(data.records.length))}</p>
      )}
    </div>
  );
}
