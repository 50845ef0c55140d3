import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useSearchParams } from "wouter";
import { useMessages } from "@/messages";
import { Section } from "@/ui/card";
import { Empty, ErrorState, Skeleton } from "@/ui/states";
import { Segmented } from "@/ui/tabs";
import { RateChart, WaitChart } from "./charts";
import { LiveDepth } from "./live-depth";
import { periodJobsQuery, periodRecordsQuery } from "./queries";
import { TypeTable } from "./type-table";
import { isPeriod, PERIODS, type Period, ratesIn, typeRows, waitsIn, windowsOf } from "./waits";

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
  const jobs = useQuery(periodJobsQuery(period));
  const records = useQuery(periodRecordsQuery(period));
  const found = useMemo(() => {
    if (!jobs.data || !records.data) return null;
    const windows = windowsOf(period, Math.max(jobs.data.now_s, records.data.now_s));
    const rates = ratesIn(windows, records.data.records);
    return {
      rates,
      waits: waitsIn(windows, jobs.data.jobs),
      types: typeRows(rates, records.data.records, jobs.data.jobs),
      isCut: jobs.data.isCut || records.data.isCut,
    };
  }, [jobs.data, records.data, period]);
  const failed = jobs.error ?? records.error;
  if (failed)
    return (
      <ErrorState
        error={failed}
        onRetry={() => void Promise.all([jobs.refetch(), records.refetch()])}
      />
    );
  if (!found) return <Skeleton className="h-56" />;
  if (found.types.length === 0) return <Empty title={texts.empty} text={texts.emptyHint} />;
  return (
    <div className="flex flex-col gap-6">
      <div className="grid grid-cols-1 gap-6 xl:grid-cols-2 xl:gap-8">
        <RateChart windows={found.rates} />
        <WaitChart windows={found.waits} />
      </div>
      <TypeTable rows={found.types} />
      {found.isCut && <p className="text-xs text-muted">{texts.cut}</p>}
    </div>
  );
}
