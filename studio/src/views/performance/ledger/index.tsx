import { useQuery } from "@tanstack/react-query";
import { useParams } from "wouter";
import { ApiError, type Job } from "@/api/client";
import { jobQuery, workersQuery } from "@/api/queries";
import { useMessages } from "@/messages";
import { Card, Section } from "@/ui/card";
import { Empty, ErrorState, Loading } from "@/ui/states";
import { RunningJob } from "@/views/performance/running/job-card";
import { Against } from "./against";
import { deviceCourses } from "./device";
import { DeviceCharts } from "./device-charts";
import { Delivered, Environment, Numbers, Settings } from "./facts";
import { BackLink, LedgerHeader } from "./header";
import { LiveLog } from "./live-log";
import { PhaseTable } from "./phase-table";
import { type JobPerformance, ledgerQuery } from "./queries";
import { StepChart } from "./step-chart";
import { LedgerWaterfall } from "./waterfall";

/** One job: where its time went, how that compares, and what was logged. */
export default function LedgerPanel() {
  const { id = "" } = useParams<{ id: string }>();
  const job = useQuery({ ...jobQuery(id), retry: false });
  const isActive = job.data?.state === "queued" || job.data?.state === "running";
  const ledger = useQuery({ ...ledgerQuery(id), enabled: !job.isPending && !isActive });
  const isUnknown = job.error instanceof ApiError && job.error.status === 404;
  const error = ledger.data ? null : (ledger.error ?? (isUnknown || job.data ? null : job.error));
  const isLoading = job.isPending || (ledger.isPending && !isActive);
  return (
    <div className="flex min-w-0 flex-col gap-4">
      <BackLink />
      {error ? (
        <ErrorState
          error={error}
          onRetry={() => void Promise.all([job.refetch(), ledger.refetch()])}
        />
      ) : isLoading ? (
        <Loading />
      ) : ledger.data ? (
        <Ledger data={ledger.data} job={job.data} />
      ) : (
        <WithoutRecord job={job.data} />
      )}
      {job.data && <LiveLog key={id} jobId={id} isOver={!isActive} />}
    </div>
  );
}

function WithoutRecord({ job }: { job: Job | undefined }) {
  const texts = useMessages().performance.panels.ledger;
  const { data: workers } = useQuery(workersQuery);
  if (job?.state === "running") {
    const own = workers?.data.find((worker) => worker.jobs.includes(job.id));
    return (
      <div className="rounded-xl bg-surface shadow-card">
        <RunningJob job={job} memory={own?.memory ?? null} />
      </div>
    );
  }
  const about =
    job === undefined ? texts.unknown : job.state === "queued" ? texts.waits : texts.noRecord;
  return (
    <Card>
      <Empty title={about.title} text={about.text} />
    </Card>
  );
}

function Ledger({ data, job }: { data: JobPerformance; job: Job | undefined }) {
  const texts = useMessages().performance.panels.ledger;
  const { record } = data;
  const hasPhases = Object.keys(record.phases_s).length > 0;
  return (
    <>
      <LedgerHeader data={data} job={job} />
      {hasPhases && (
        <div className="grid grid-cols-1 gap-4 xl:grid-cols-2">
          <Section id="clock" title={texts.clock} text={texts.clockText}>
            <LedgerWaterfall data={data} />
          </Section>
          <Section id="phases" title={texts.phases} text={texts.phasesText}>
            <PhaseTable data={data} />
          </Section>
        </div>
      )}
      {record.step_times_s.length > 0 && (
        <Section id="steps" title={texts.stepsTitle}>
          <StepChart times_s={record.step_times_s} />
        </Section>
      )}
      {data.device_series && deviceCourses(data.device_series).length > 0 && (
        <Section id="device-course" title={texts.deviceCourse} text={texts.deviceCourseText}>
          <DeviceCharts series={data.device_series} />
        </Section>
      )}
      {record.is_success && <Against record={record} />}
      <Measured data={data} />
      <Section id="environment" title={texts.environment} text={texts.environmentText}>
        <Environment values={record.environment} />
      </Section>
    </>
  );
}

const isFilled = (values: Record<string, unknown>): boolean => Object.keys(values).length > 0;

function Measured({ data }: { data: JobPerformance }) {
  const texts = useMessages().performance.panels.ledger;
  const { record } = data;
  return (
    <div className="grid grid-cols-[repeat(auto-fit,minmax(min(100%,15rem),1fr))] gap-4">
      <Section id="settings" title={texts.settings}>
        <Settings record={record} />
      </Section>
      {isFilled(record.memory) && (
        <Section id="memory" title={texts.memory}>
          <Numbers values={record.memory} />
        </Section>
      )}
      {(isFilled(record.device) || isFilled(record.host)) && (
        <Section id="device" title={texts.device}>
          <Device data={data} />
        </Section>
      )}
      {isFilled(record.facts) && (
        <Section id="delivered" title={texts.delivered} text={texts.deliveredText}>
          <Delivered facts={record.facts} />
        </Section>
      )}
    </div>
  );
}

function Device({ data: { record } }: { data: JobPerformance }) {
  const texts = useMessages().performance.panels.ledger;
  return (
    <>
      {isFilled(record.device) ? (
        <Numbers values={record.device} />
      ) : (
        <p className="text-[13px] text-muted">{texts.noDevice}</p>
      )}
      {isFilled(record.host) && (
        <>
          <h3 className="mt-4 mb-1 text-xs font-medium text-muted">{texts.host}</h3>
          <Numbers values={record.host} />
        </>
      )}
    </>
  );
}
