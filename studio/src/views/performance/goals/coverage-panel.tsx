import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { title } from "@/lib/format";
import { useMessages } from "@/messages";
import { Badge, type Tone } from "@/ui/badge";
import { Section } from "@/ui/card";
import { ChartFrame } from "@/ui/chart-frame";
import { ErrorState, Skeleton } from "@/ui/states";
import { ownMatrixQuery } from "../pareto/queries";
import { type Covered, coverageOf, isEstablished, type Status } from "./coverage";
import { ProgressBar } from "./progress-bar";

const TONES: Record<Status, Tone> = {
  optimised: "good",
  established: "good",
  in_progress: "accent",
  pending: "neutral",
};

/** How many of the job types have a baseline of their own. */
export function Coverage() {
  const messages = useMessages();
  const texts = messages.performance.panels.goals;
  const { data, error, refetch } = useQuery(ownMatrixQuery);
  const covered = coverageOf(data?.rows ?? []);
  const done = covered.filter(isEstablished).length;
  return (
    <Section
      id="coverage"
      title={texts.coverage}
      text={data ? texts.coverageText(done, data.num_job_types) : undefined}
    >
      {error && !data ? (
        <ErrorState error={error} onRetry={() => void refetch()} />
      ) : !data ? (
        <Skeleton className="h-32" />
      ) : (
        <ChartFrame
          title={texts.coverage}
          isTitleHidden
          summary={texts.coverageText(done, data.num_job_types)}
          columns={[
            { key: "type", name: texts.jobType, value: (row) => row.job_type },
            { key: "n", name: texts.runsColumn, value: (row) => row.n, isNumeric: true },
            {
              key: "status",
              name: texts.status,
              value: (row) => messages.performance.matrix.status[row.status],
            },
          ]}
          rows={covered}
          rowKey={(row) => row.job_type}
        >
          <ProgressBar
            share={data.num_job_types > 0 ? done / data.num_job_types : null}
            label={texts.coverage}
          />
          <ul className="mt-4 grid grid-cols-1 gap-x-8 sm:grid-cols-2 xl:grid-cols-1 2xl:grid-cols-2">
            {covered.map((each) => (
              <CoveredItem key={each.job_type} covered={each} />
            ))}
          </ul>
        </ChartFrame>
      )}
    </Section>
  );
}

function CoveredItem({ covered: { job_type, status, n } }: { covered: Covered }) {
  const messages = useMessages();
  const texts = messages.performance.panels.goals;
  const isDone = status === "established" || status === "optimised";
  return (
    <li className="flex min-h-10 items-center gap-3 border-b border-line text-[13px]">
      <span className="min-w-0 flex-1 truncate">{title(job_type)}</span>
      {!isDone && (
        <Link
          href={`/performance/protocol?job_type=${encodeURIComponent(job_type)}`}
          aria-label={texts.measureOf(title(job_type))}
          className="inline-flex min-h-6 items-center text-xs text-accent-ink underline underline-offset-2"
        >
          {texts.measure}
        </Link>
      )}
      <span className="numeric text-xs text-muted">{texts.runs(n)}</span>
      <Badge tone={TONES[status]}>{messages.performance.matrix.status[status]}</Badge>
    </li>
  );
}
