import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { ChartSpline } from "lucide-react";
import { useEffect, useRef } from "react";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { Section } from "@/ui/card";
import { cx } from "@/ui/cx";
import { Empty, ErrorState, Skeleton } from "@/ui/states";
import { firstJobType } from "@/views/performance/phases/bars";
import { matrixQuery, type Series, trendsQuery } from "@/views/performance/queries";
import { DecisionLog } from "@/views/performance/trends/decision-log";
import { TrendFilters } from "@/views/performance/trends/filters";
import { goToChange, SeriesSection } from "@/views/performance/trends/series-section";
import { type TrendView, useTrendView } from "@/views/performance/trends/use-trend-view";

const FEW_RUNS = 5;

/** Every history, its changes, and what people decided about them. */
export default function Trends() {
  const messages = useMessages().performance.trends;
  const matrix = useQuery(matrixQuery);
  const view = useTrendView(matrix.error ? null : matrix.data && firstJobType(matrix.data.rows));
  const query = useInfiniteQuery({ ...trendsQuery(view.filter), enabled: view.isReady });
  const { data, error, refetch, isPlaceholderData } = query;
  const series = data?.pages.flatMap((page) => page.data) ?? [];
  useWantedChange(view.change, series);
  return (
    <>
      <Section id="trends" title={messages.title} text={messages.text}>
        <TrendFilters view={view} series={series} />
      </Section>
      {error && !data && <ErrorState error={error} onRetry={refetch} />}
      {!data && !error && <Skeleton className="h-96" />}
      {data && (
        <div className={cx("flex flex-col gap-5", isPlaceholderData && "opacity-60")}>
          <Histories series={series} view={view} />
          {query.hasNextPage && (
            <Button
              className="self-center"
              isBusy={query.isFetchingNextPage}
              onClick={() => query.fetchNextPage()}
            >
              {messages.more}
            </Button>
          )}
          <DecisionLog />
        </div>
      )}
    </>
  );
}

function Histories({ series, view }: { series: readonly Series[]; view: TrendView }) {
  const messages = useMessages().performance.trends;
  const { job_type, preset, state } = view.filter;
  const isNarrow = Boolean(job_type || preset || state);
  if (series.length === 0)
    return (
      <Empty
        icon={<ChartSpline size={22} aria-hidden />}
        title={isNarrow ? messages.emptyFilter : messages.empty}
        text={isNarrow ? messages.emptyFilterText : messages.emptyText}
      />
    );
  const long = series
    .filter((each) => each.num_points >= FEW_RUNS)
    .sort((a, b) => Number(isOpen(b)) - Number(isOpen(a)));
  const short = series.filter((each) => each.num_points < FEW_RUNS);
  const show = (each: Series) => (
    <SeriesSection key={each.id} series={each} measure={view.measure} spacing={view.spacing} />
  );
  return (
    <>
      {long.map(show)}
      {short.length > 0 && (
        <details open={long.length === 0} className="group">
          <summary className="min-h-6 px-1 text-[13px] font-medium text-muted hover:text-ink">
            {messages.few(short.length)}
          </summary>
          <div className="mt-3 flex flex-col gap-5">{short.map(show)}</div>
        </details>
      )}
    </>
  );
}

/** Whether somebody should look: a change about which nothing was decided, or that is looked into. */
function isOpen(series: Series): boolean {
  return series.changes.some(
    ({ decision }) => decision === null || decision.verb === "investigate",
  );
}

/**
 * A link may name a change: its card comes into view once it is there. The matrix looks at the whole
 * job alone, where a change may begin a run sooner and so has another name: then it is the last
 * open one.
 */
function useWantedChange(wanted: string | null, series: readonly Series[]): void {
  const shown = useRef<string | null>(null);
  const all = series.flatMap((each) => each.changes);
  const exact = all.find((change) => change.id === wanted);
  const target = (exact ?? series.find(isOpen)?.changes.at(-1))?.id;
  useEffect(() => {
    if (!wanted || !target || shown.current === wanted) return;
    shown.current = wanted;
    goToChange(target);
  }, [wanted, target]);
}
