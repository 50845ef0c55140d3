import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { ago, duration, title } from "@/lib/format";
import { useMessages } from "@/messages";
import { Badge } from "@/ui/badge";
import { Button, Spinner } from "@/ui/button";
import { Section } from "@/ui/card";
import { ledgerPath } from "@/views/performance/sections";
import { Checks } from "./checks";
import { type Progress, useProgress } from "./progress";
import { type RunEvent, reportQuery, type Started, useCancelRun, useRefresh } from "./queries";
import { readReport } from "./report";

/** The run that goes on, job by job. */
export function ActiveRun({ active }: { active: Started }) {
  const texts = useMessages().performance.panels.protocol;
  const refresh = useRefresh();
  const progress = useProgress(active.run_id, refresh);
  const cancel = useCancelRun();
  return (
    <Section
      id="active-run"
      title={
        <span className="flex items-center gap-2">
          <Spinner />
          {active.run_id === null ? texts.preflightRuns : texts.runs}
        </span>
      }
      text={texts.activeText(
        texts.suites[active.suite as keyof typeof texts.suites] ?? active.suite,
        ago(active.started_at),
      )}
      actions={
        <Button
          size="sm"
          variant="danger"
          isBusy={cancel.isPending}
          onClick={() => cancel.mutate()}
        >
          {texts.cancel}
        </Button>
      }
    >
      <Bar progress={progress} />
      {active.run_id && <Preflight runId={active.run_id} />}
      <Events events={progress.events} />
    </Section>
  );
}

function Bar({ progress }: { progress: Progress }) {
  const texts = useMessages().performance.panels.protocol;
  const { num_done, num_planned } = progress;
  const share = num_planned > 0 ? num_done / num_planned : 0;
  return (
    <div aria-live="polite">
      <p className="numeric mb-1.5 text-[13px]">
        {num_planned > 0 ? texts.done(num_done, num_planned) : texts.begins}
      </p>
      <div
        role="progressbar"
        aria-label={texts.runs}
        aria-valuemin={0}
        aria-valuemax={num_planned || 1}
        aria-valuenow={num_done}
        className="h-1.5 overflow-hidden rounded-full bg-sunken"
      >
        <div className="h-full bg-accent transition-[width]" style={{ width: `${100 * share}%` }} />
      </div>
    </div>
  );
}

function Preflight({ runId }: { runId: string }) {
  const texts = useMessages().performance.panels.protocol;
  const { data } = useQuery(reportQuery(runId));
  const checks = data ? readReport(data).checks : [];
  if (checks.length === 0) return null;
  return (
    <div className="mt-4">
      <h3 className="mb-1 text-[13px] font-medium">{texts.preflight}</h3>
      <Checks checks={checks} />
    </div>
  );
}

/** Newest first: what ended. */
export function Events({ events }: { events: readonly RunEvent[] }) {
  const runs = events.filter((event) => event.kind === "run").reverse();
  if (runs.length === 0) return null;
  return (
    <ol className="mt-4 max-h-72 overflow-y-auto">
      {runs.map((event) => (
        <EventRow key={event.seq} event={event} />
      ))}
    </ol>
  );
}

function EventRow({ event }: { event: RunEvent }) {
  const texts = useMessages().performance.panels.protocol;
  return (
    <li className="flex flex-wrap items-center gap-x-3 gap-y-1 border-b border-line py-1.5 text-[13px] last:border-0">
      <span className="min-w-0 flex-1 truncate">
        {event.job_id ? (
          <Link href={ledgerPath(event.job_id)} className="hover:underline">
            {title(event.case ?? event.job_type ?? "")}
          </Link>
        ) : (
          title(event.case ?? "")
        )}
      </span>
      {event.is_warm_up && <Badge>{texts.warmUp}</Badge>}
      {(event.faults ?? []).map((fault) => (
        <Badge key={fault} tone="warn">
          {fault}
        </Badge>
      ))}
      {event.error && <Badge tone="bad">{event.error}</Badge>}
      <span className="text-xs text-muted">{event.state}</span>
      <span className="numeric w-16 text-right font-medium">{duration(event.wall_s)}</span>
    </li>
  );
}
