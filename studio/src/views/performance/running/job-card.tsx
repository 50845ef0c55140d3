import { useQuery, useQueryClient } from "@tanstack/react-query";
import { memo, useMemo } from "react";
import { Link } from "wouter";
import type { Job, Schemas } from "@/api/client";
import { jobQuery } from "@/api/queries";
import { Sparkline } from "@/charts/sparkline";
import { Waterfall, type WaterfallSpan } from "@/charts/waterfall";
import { duration, interval } from "@/lib/format";
import { phaseName } from "@/lib/phases";
import { useMessages } from "@/messages";
import { StateBadge } from "@/ui/badge";
import { Stat } from "@/ui/card";
import { ChartFrame } from "@/ui/chart-frame";
import type { Column } from "@/ui/data-table";
import { type Course, courseOf } from "@/views/performance/running/course";
import { MemoryBar } from "@/views/performance/running/memory";
import { courseQuery } from "@/views/performance/running/queries";
import { useNow } from "@/views/performance/running/use-now";
import { ledgerPath } from "@/views/performance/sections";
import { workloadName } from "@/views/performance/words";

interface Props {
  job: Job;
  memory: Schemas["WorkerMemory"] | null;
}

/** One running job: what it did, how fast it steps, when it ends, what it takes. */
export const RunningJob = memo(function RunningJob({ job, memory }: Props) {
  const client = useQueryClient();
  const { data: course } = useQuery(courseQuery(client, job.id));
  const { data: full } = useQuery(jobQuery(job.id));
  const events = course?.events;
  const read = useMemo(() => courseOf(events ?? []), [events]);
  const name = workloadName(job.job_type, job.preset);
  return (
    <article aria-label={name} className="rounded-xl border border-line p-4">
      <header className="mb-3 flex min-w-0 items-center gap-2">
        <h3 className="shrink-0 text-sm font-semibold">
          <Link href={ledgerPath(job.id)} className="hover:underline">
            {name}
          </Link>
        </h3>
        <p className="min-w-0 flex-1 truncate text-[13px] text-muted">{job.prompt}</p>
        <StateBadge job={job} />
      </header>
      <Figures
        job={job}
        expected={full?.expected ?? null}
        skewMs={course?.skewMs ?? 0}
        course={read}
      />
      <div className="mt-4 grid gap-x-6 gap-y-4 lg:grid-cols-[minmax(0,1fr)_17rem]">
        <Phases
          name={name}
          course={read}
          skewMs={course?.skewMs ?? 0}
          expected={full?.expected ?? null}
        />
        <section>
          <h4 className="mb-2 text-[13px] font-medium">
            {useMessages().performance.running.memory}
          </h4>
          <MemoryBar memory={memory} />
        </section>
      </div>
    </article>
  );
});

type Expected = Schemas["ExpectedTime"] | null;

interface FigureProps {
  job: Job;
  expected: Expected;
  skewMs: number;
  course: Course;
}

function Figures({ job, expected, skewMs, course }: FigureProps) {
  const messages = useMessages();
  const words = messages.performance.running;
  const now = useNow() + skewMs;
  const elapsed = Math.max(0, now / 1000 - (job.started_unix_s ?? now / 1000));
  const eta = job.progress?.eta_s ?? null;
  const range = job.progress?.eta_interval;
  const over = expected ? elapsed - expected.high_s : 0;
  const unit = course.unitTimes_s.at(-1);
  const isStep = course.unitPhase === "denoise" || course.unitPhase == null;
  return (
    <dl className="grid grid-cols-2 gap-x-6 gap-y-3 sm:grid-cols-4">
      <Stat
        name={words.elapsed}
        value={duration(elapsed)}
        detail={
          job.progress?.phase && (
            <>
              {phaseName(job.progress.phase, messages)}
              {job.progress.step != null &&
                job.progress.num_steps != null &&
                ` ${words.progress(job.progress.step, job.progress.num_steps)}`}
            </>
          )
        }
      />
      <Stat
        name={words.left}
        value={eta == null ? "–" : duration(eta)}
        detail={
          range ? interval(range.low_s, range.high_s) : eta == null ? words.leftUnknown : null
        }
      />
      <Stat
        name={words.expected}
        value={expected ? duration(expected.total_s) : "–"}
        detail={
          expected &&
          (over > 0
            ? words.overdue(duration(over))
            : `${interval(expected.low_s, expected.high_s)}, ${
                expected.basis === "prior"
                  ? words.basisPrior
                  : words.basisHistory(expected.num_records)
              }`)
        }
      />
      <Stat
        name={isStep ? words.step : words.unit}
        value={unit == null ? "–" : duration(unit)}
        detail={
          course.unitTimes_s.length > 1 && (
            <Sparkline
              values={course.unitTimes_s}
              width={120}
              height={22}
              hasZero
              label={words.stepsSpark(
                duration(middle(course.unitTimes_s)),
                course.unitTimes_s.length,
              )}
            />
          )
        }
      />
    </dl>
  );
}

function middle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}

interface PhasesProps {
  name: string;
  course: Course;
  skewMs: number;
  expected: Expected;
}

function Phases({ name, course, skewMs, expected }: PhasesProps) {
  const messages = useMessages();
  const words = messages.performance.running;
  const now = useNow() + skewMs;
  const now_s = course.beganMs == null ? 0 : Math.max(0, (now - course.beganMs) / 1000);
  const { spans } = course;
  const columns: Column<WaterfallSpan>[] = [
    { key: "phase", name: words.columns.phase, value: (row) => phaseName(row.phase, messages) },
    {
      key: "start",
      name: words.columns.start,
      value: (row) => round(row.start_s),
      isNumeric: true,
    },
    {
      key: "end",
      name: words.columns.end,
      value: (row) => (row.end_s == null ? null : round(row.end_s)),
      isNumeric: true,
    },
  ];
  const summary = words.phasesSummary(name, duration(now_s));
  return (
    <ChartFrame
      title={words.phases}
      summary={summary}
      columns={columns}
      rows={spans}
      rowKey={(row) => `${row.phase}-${row.start_s}`}
    >
      <Waterfall
        spans={spans}
        total_s={now_s}
        now_s={now_s}
        expected={expected ?? undefined}
        label={summary}
      />
      {expected && (
        <p className="mt-1 flex items-center gap-1.5 text-xs text-muted">
          <span aria-hidden className="size-2 rounded-[3px] bg-accent-soft ring-1 ring-accent/40" />
          {words.expectedEnd(interval(expected.low_s, expected.high_s))}
        </p>
      )}
    </ChartFrame>
  );
}

const round = (seconds: number): number => Math.round(seconds * 1000) / 1000;
