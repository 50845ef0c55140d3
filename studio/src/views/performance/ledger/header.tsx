import { ArrowLeft, Braces, Download } from "lucide-react";
import { Link } from "wouter";
import type { Job } from "@/api/client";
import { saveText } from "@/lib/export";
import { bytes, duration, fullMoment, interval, number } from "@/lib/format";
import { useMessages } from "@/messages";
import { Badge, StateBadge } from "@/ui/badge";
import { Button } from "@/ui/button";
import { Section, Stat } from "@/ui/card";
import { LinkButton } from "@/views/performance/link-button";
import { settingsText, stateName, workloadName } from "@/views/performance/words";
import type { JobPerformance } from "./queries";
import { ScoreBadge } from "./score-badge";
import { stepMedian } from "./steps";
import { chromeTrace } from "./trace";

const LEAST_SHARED = 0.01;

export function BackLink() {
  const texts = useMessages().performance.panels.ledger;
  return (
    <Link
      href="/performance"
      className="inline-flex h-8 w-fit items-center gap-1.5 text-[13px] text-muted hover:text-ink"
    >
      <ArrowLeft size={14} aria-hidden />
      {texts.back}
    </Link>
  );
}

/** What the job was, how long it took, and how that compares. */
export function LedgerHeader({ data, job }: { data: JobPerformance; job: Job | undefined }) {
  const messages = useMessages();
  const texts = messages.performance.panels.ledger;
  const { record, score } = data;
  return (
    <Section
      id="ledger"
      title={
        <span className="flex flex-wrap items-center gap-2">
          {workloadName(record.job_type, String(record.workload.preset ?? ""))}
          {job ? <StateBadge job={job} /> : <Badge>{texts.deleted}</Badge>}
          {record.is_success && <Badge>{stateName(record.state, messages)}</Badge>}
          {score.score && <ScoreBadge score={score.score} />}
        </span>
      }
      text={
        <>
          {job && <span className="block truncate">{job.prompt}</span>}
          <span className="block">{settingsText(record.workload, messages)}</span>
          <span className="block break-all">
            {fullMoment(record.at)} · {record.id}
          </span>
        </>
      }
      actions={<Exports data={data} hasFiles={(job?.assets.length ?? 0) > 0} />}
    >
      {record.is_success && <Figures data={data} />}
      {job?.error && (
        <div className="rounded-xl border border-line bg-bad-soft px-4 py-3 text-sm">
          <p className="font-medium">{job.error.message}</p>
          {job.error.hint && <p className="text-muted">{job.error.hint}</p>}
        </div>
      )}
      {(record.flags.length > 0 || record.failure) && (
        <ul className="mt-4 flex flex-wrap gap-1.5" aria-label={texts.flags}>
          {record.failure && (
            <li>
              <Badge tone="bad">{record.failure}</Badge>
            </li>
          )}
          {record.flags.map((flag) => (
            <li key={flag}>
              <Badge tone="warn">{flag}</Badge>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

function Figures({ data }: { data: JobPerformance }) {
  const texts = useMessages().performance.panels.ledger;
  const { record, baseline, score } = data;
  const total = score.measures.find(({ measure }) => measure === "total");
  const expected = baseline && baseline.n > 1 ? baseline.measures.total : undefined;
  const wait_s = record.phases_s.queue_wait;
  // Below a hundredth, others' turns are a look at loading weights.
  const isAlone =
    record.batched_with === 0 && record.shared_s <= LEAST_SHARED * (record.total_s ?? 0);
  const peak = record.memory.device_peak_allocated_bytes ?? record.memory.host_peak_bytes;
  return (
    <dl className="grid grid-cols-2 gap-4 sm:grid-cols-3 lg:grid-cols-6">
      <Stat
        name={texts.run}
        value={duration(total?.value)}
        detail={record.total_s === null ? undefined : texts.inAll(duration(record.total_s))}
      />
      <Stat
        name={texts.expected}
        value={duration(expected?.median)}
        detail={
          total?.interval
            ? texts.within(interval(total.interval.low, total.interval.high))
            : texts.tooFew(baseline?.n ?? 0)
        }
      />
      <Stat name={texts.wait} value={duration(wait_s)} />
      <Stat
        name={texts.stepTime}
        value={duration(stepMedian(record.step_times_s))}
        detail={record.step_times_s.length > 0 ? texts.ofSteps(record.step_times_s.length) : null}
      />
      <Stat
        name={record.memory.device_peak_allocated_bytes ? texts.devicePeak : texts.hostPeak}
        value={bytes(peak)}
      />
      <Stat
        name={texts.alone}
        value={isAlone ? texts.yes : texts.no}
        detail={
          record.batched_with > 0
            ? texts.batched(number(record.batched_with))
            : !isAlone
              ? texts.shared(duration(record.shared_s))
              : undefined
        }
      />
    </dl>
  );
}

function Exports({ data, hasFiles }: { data: JobPerformance; hasFiles: boolean }) {
  const texts = useMessages().performance.panels.ledger;
  const { record, spans } = data;
  const trace = () =>
    saveText(
      `${record.id}.trace.json`,
      JSON.stringify(
        chromeTrace(`${record.job_type} ${record.id}`, spans, record.step_times_s, {
          job_id: record.id,
          at: record.at,
          state: record.state,
        }),
      ),
      "application/json",
    );
  const json = () =>
    saveText(`${record.id}.json`, `${JSON.stringify(data, null, 2)}\n`, "application/json");
  return (
    <>
      {hasFiles && <LinkButton href={`/library/${record.id}`}>{texts.open}</LinkButton>}
      <Button
        size="sm"
        icon={<Download size={14} />}
        disabled={spans.length === 0}
        title={texts.traceHint}
        onClick={trace}
      >
        {texts.trace}
      </Button>
      <Button size="sm" icon={<Braces size={14} />} onClick={json}>
        {texts.json}
      </Button>
    </>
  );
}
