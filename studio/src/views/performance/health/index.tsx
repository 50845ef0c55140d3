import { useQuery } from "@tanstack/react-query";
import { catalogueQuery, statusQuery, workersQuery } from "@/api/queries";
import { duration, fullMoment, number, percent, title } from "@/lib/format";
import { useMessages } from "@/messages";
import { Section, Stat } from "@/ui/card";
import { ChartFrame } from "@/ui/chart-frame";
import type { Column } from "@/ui/data-table";
import { ErrorState, Skeleton } from "@/ui/states";
import { periodRecordsQuery } from "../throughput/queries";
import { IntervalBar } from "./interval-bar";
import { overall, type SuccessRow, successRows } from "./success";
import { useUptime } from "./uptime";

/** Whether the service does what is asked of it, and since when it runs. */
export default function HealthPanel() {
  const texts = useMessages().performance.panels.health;
  const catalogue = useQuery(catalogueQuery);
  const records = useQuery(periodRecordsQuery("month"));
  const failed = (catalogue.data ? null : catalogue.error) ?? (records.data ? null : records.error);
  const oldest = records.data?.isCut ? records.data.records.at(-1) : undefined;
  return (
    <Section
      id="health"
      title={texts.title}
      text={
        oldest
          ? `${texts.text} ${texts.cut(number(records.data?.records.length ?? 0), fullMoment(oldest.at))}`
          : texts.text
      }
    >
      <div className="grid grid-cols-1 gap-6 lg:grid-cols-[15rem_minmax(0,1fr)] lg:gap-8">
        <Service share={records.data ? overall(records.data.records) : undefined} />
        {failed ? (
          <ErrorState
            error={failed}
            onRetry={() => void Promise.all([catalogue.refetch(), records.refetch()])}
          />
        ) : !catalogue.data || !records.data ? (
          <Skeleton className="h-56" />
        ) : (
          <SuccessTable
            rows={successRows(
              catalogue.data.job_types.map((each) => each.name),
              records.data.records,
            )}
          />
        )}
      </div>
    </Section>
  );
}

function Service({ share }: { share: ReturnType<typeof overall> | undefined }) {
  const texts = useMessages().performance.panels.health;
  const { data: status, error, refetch } = useQuery(statusQuery);
  const { data: workers } = useQuery(workersQuery);
  const uptime_s = useUptime(status?.started_at);
  if (error && !status) return <ErrorState error={error} onRetry={() => void refetch()} />;
  if (!status) return <Skeleton className="h-56" />;
  const up = workers?.data.length ?? status.num_workers;
  return (
    <dl className="grid grid-cols-2 content-start gap-4">
      <Stat
        name={texts.success}
        value={share ? percent(share.share, share.share < 1 ? 1 : 0) : "–"}
        detail={share ? texts.between(percent(share.low, 1), percent(share.high, 1)) : texts.noJobs}
      />
      <Stat
        name={texts.uptime}
        value={duration(uptime_s)}
        detail={texts.since(fullMoment(status.started_at))}
      />
      <Stat name={texts.workers} value={number(up)} />
      <Stat name={texts.version} value={status.version} detail={`Python ${status.python}`} />
      <Stat name={texts.store} value={texts.stores[status.store as keyof typeof texts.stores]} />
      <Stat name={texts.storage} value={title(status.storage)} />
    </dl>
  );
}

function SuccessTable({ rows }: { rows: readonly SuccessRow[] }) {
  const texts = useMessages().performance.panels.health;
  const measured = rows.filter((row) => row.success !== null);
  const columns: Column<SuccessRow>[] = [
    { key: "type", name: texts.jobType, value: (row) => row.job_type },
    { key: "good", name: texts.succeeded, value: (row) => row.success?.successes ?? 0 },
    { key: "n", name: texts.jobs, value: (row) => row.success?.n ?? 0, isNumeric: true },
    {
      key: "share",
      name: texts.share,
      value: (row) => row.success?.share ?? null,
      cell: (row) => percent(row.success?.share, 1),
      isNumeric: true,
    },
    {
      key: "low",
      name: texts.low,
      value: (row) => row.success?.low ?? null,
      cell: (row) => percent(row.success?.low, 1),
      isNumeric: true,
    },
    {
      key: "high",
      name: texts.high,
      value: (row) => row.success?.high ?? null,
      cell: (row) => percent(row.success?.high, 1),
      isNumeric: true,
    },
    {
      key: "flagged",
      name: texts.flagged,
      value: (row) => row.num_flagged,
      isNumeric: true,
    },
  ];
  return (
    <ChartFrame
      title={texts.byType}
      summary={texts.summary(measured.length, rows.length)}
      columns={columns}
      rows={rows}
      rowKey={(row) => row.job_type}
    >
      <ul>
        {rows.map((row) => (
          <li
            key={row.job_type}
            className="grid grid-cols-[minmax(0,1fr)_4.5rem] items-center gap-x-4 border-b border-line py-1.5 text-[13px] last:border-0 sm:grid-cols-[11rem_minmax(0,1fr)_4rem_6rem]"
          >
            <span className="truncate">{title(row.job_type)}</span>
            <span className="hidden sm:block">
              {row.success && <IntervalBar share={row.success} />}
            </span>
            <span className="numeric text-right font-medium">
              {row.success ? percent(row.success.share, row.success.share < 1 ? 1 : 0) : "–"}
            </span>
            <span className="numeric col-span-2 text-xs text-muted sm:col-span-1 sm:text-right">
              {row.success ? texts.ofJobs(row.success.successes, row.success.n) : texts.noJobs}
            </span>
          </li>
        ))}
      </ul>
    </ChartFrame>
  );
}
