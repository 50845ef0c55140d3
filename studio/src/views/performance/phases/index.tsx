import { useQueries, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useSearchParams } from "wouter";
import { type StackedBar, StackedBars } from "@/charts/stacked-bars";
import { percent, title } from "@/lib/format";
import { phaseName } from "@/lib/phases";
import { useMessages } from "@/messages";
import { Section } from "@/ui/card";
import { ChartFrame } from "@/ui/chart-frame";
import { Empty, ErrorState, Skeleton } from "@/ui/states";
import { Segmented } from "@/ui/tabs";
import { Choice } from "@/views/performance/choice";
import { phaseMeans } from "@/views/performance/matrix/runs";
import { barRows, groupsOf, jobTypesOf, largestPhase } from "@/views/performance/phases/bars";
import { baselineQuery, matrixQuery } from "@/views/performance/queries";
import { exact, settingsText, stateName, workloadName } from "@/views/performance/words";

/** What share each phase has, cold, warm and resident. */
export function PhaseComposition() {
  const messages = useMessages().performance.phases;
  const [params, setParams] = useSearchParams();
  const { data, error, refetch } = useQuery(matrixQuery);
  const jobTypes = useMemo(() => jobTypesOf(data?.rows ?? []), [data]);
  const wanted = params.get("phases");
  const jobType = wanted && jobTypes.includes(wanted) ? wanted : jobTypes[0];
  const isShare = params.get("scale") === "share";
  const set = (name: string, value: string | null) =>
    setParams(
      (before) => {
        const next = new URLSearchParams(before);
        if (value) next.set(name, value);
        else next.delete(name);
        return next;
      },
      { replace: true },
    );
  return (
    <Section
      id="phases"
      title={messages.title}
      text={messages.text}
      actions={
        jobType && (
          <div className="flex flex-wrap items-end gap-2.5">
            <Choice
              label={messages.jobType}
              value={jobType}
              onChange={(name) => set("phases", name)}
              options={jobTypes.map((name) => ({ value: name, label: title(name) }))}
            />
            <Segmented
              label={messages.scale}
              value={isShare ? "share" : "absolute"}
              onChange={(scale) => set("scale", scale === "share" ? scale : null)}
              options={[
                { value: "absolute", label: messages.absolute },
                { value: "share", label: messages.share },
              ]}
            />
          </div>
        )
      }
    >
      {error && !data && <ErrorState error={error} onRetry={refetch} />}
      {!data && !error && <Skeleton className="h-48" />}
      {data && !jobType && <Empty title={messages.empty} text={messages.emptyText} />}
      {jobType && <Bars jobType={jobType} isShare={isShare} />}
    </Section>
  );
}

function Bars({ jobType, isShare }: { jobType: string; isShare: boolean }) {
  const messages = useMessages();
  const words = messages.performance.phases;
  const { data } = useQuery(matrixQuery);
  const groups = groupsOf(data?.rows ?? [], jobType);
  const found = useQueries({ queries: groups.map((row) => baselineQuery(row.group ?? "")) });
  const bars: StackedBar[] = groups.flatMap((row, index) => {
    const baseline = found[index]?.data;
    if (!baseline || baseline.id !== row.group) return [];
    return [
      {
        key: baseline.id,
        name: `${workloadName(row.job_type, row.preset)}, ${stateName(row.state, messages).toLowerCase()}`,
        detail: `n = ${baseline.n} · ${settingsText(row.settings, messages)}`,
        phases_s: phaseMeans(baseline),
      },
    ];
  });
  const failed = found.find((each) => each.error && !each.data);
  if (failed) return <ErrorState error={failed.error} onRetry={() => failed.refetch()} />;
  if (bars.length === 0) return <Skeleton className="h-48" />;
  const summary = words.summary(
    bars
      .map((bar) => {
        const largest = largestPhase(bar.phases_s);
        return words.largest(bar.name, phaseName(largest.phase, messages), percent(largest.share));
      })
      .join("; "),
  );
  return (
    <ChartFrame
      title={words.chart(title(jobType))}
      isTitleHidden
      summary={summary}
      columns={[
        { key: "group", name: words.columns.group, value: (row) => row.name },
        { key: "phase", name: words.columns.phase, value: (row) => phaseName(row.phase, messages) },
        {
          key: "seconds",
          name: words.columns.seconds,
          value: (row) => row.seconds,
          cell: (row) => exact(row.seconds),
          isNumeric: true,
        },
        {
          key: "share",
          name: words.columns.share,
          value: (row) => row.share,
          cell: (row) => percent(row.share, 1),
          isNumeric: true,
        },
      ]}
      rows={barRows(bars)}
      rowKey={(row) => `${row.key}-${row.phase}`}
    >
      <StackedBars bars={bars} isShare={isShare} label={summary} />
    </ChartFrame>
  );
}
