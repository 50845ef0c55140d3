import { useQuery } from "@tanstack/react-query";
import { Braces, Copy } from "lucide-react";
import { copyText } from "@/lib/clipboard";
import { saveText } from "@/lib/export";
import { duration, fullMoment, interval, percent, title } from "@/lib/format";
import { useMessages } from "@/messages";
import { Button, IconButton } from "@/ui/button";
import { Section } from "@/ui/card";
import { ChartFrame } from "@/ui/chart-frame";
import { type Column, DataTable } from "@/ui/data-table";
import { PhaseBar } from "@/ui/phase-bar";
import { ErrorState, Loading } from "@/ui/states";
import { useToasts } from "@/ui/toast";
import { OutcomeBadge } from "@/views/performance/ledger/verdict";
import { phaseMeans } from "@/views/performance/matrix/runs";
import { measureName, measureValue } from "@/views/performance/words";
import { Checks } from "./checks";
import { type Report, reportQuery } from "./queries";
import { type Group, type NextStep, readReport, verdictOf } from "./report";

/** One run, readable: figures, verdicts, and what to do next. */
export function RunReport({ runId }: { runId: string }) {
  const { data, error, refetch } = useQuery(reportQuery(runId));
  if (error && !data) return <ErrorState error={error} onRetry={() => void refetch()} />;
  if (!data) return <Loading />;
  return <Body report={data} />;
}

function Body({ report }: { report: Report }) {
  const texts = useMessages().performance.panels.protocol;
  const read = readReport(report);
  const json = () =>
    saveText(`${report.id}.json`, `${JSON.stringify(report, null, 2)}\n`, "application/json");
  return (
    <Section
      id="run-report"
      title={
        <span className="flex flex-wrap items-center gap-2">
          {texts.reportTitle(title(report.suite))}
          <OutcomeBadge outcome={report.outcome} />
        </span>
      }
      text={
        <span className="break-words">
          {fullMoment(report.created_at)} · {texts.done(report.num_done, report.num_planned)} ·{" "}
          {texts.seedIs(report.seed)}
          {report.commit && ` · ${report.commit}`}
        </span>
      }
      actions={
        <Button size="sm" icon={<Braces size={14} />} onClick={json}>
          {texts.json}
        </Button>
      }
    >
      <div className="flex flex-col gap-6">
        {read.groups.map((group) => (
          <GroupBody
            key={group.group}
            group={group}
            verdict={verdictOf(read.verdicts, group)?.text}
          />
        ))}
        {read.groups.length === 0 && <p className="text-[13px] text-muted">{texts.noGroups}</p>}
        {read.hints.length > 0 && (
          <Part title={texts.hints}>
            <ul className="list-disc pl-5 text-[13px]">
              {read.hints.map((hint) => (
                <li key={`${hint.rule}-${hint.about}`}>{hint.text}</li>
              ))}
            </ul>
          </Part>
        )}
        {read.failures.length > 0 && (
          <Part title={texts.failures}>
            <ul className="text-[13px] text-bad">
              {read.failures.map((failure) => (
                <li key={JSON.stringify(failure)} className="break-words">
                  {failure.text ?? JSON.stringify(failure.error ?? failure)}
                </li>
              ))}
            </ul>
          </Part>
        )}
        {read.next.length > 0 && (
          <Part title={texts.next}>
            <NextSteps steps={read.next} />
          </Part>
        )}
        <Part title={texts.preflight}>
          <Checks checks={read.checks} />
        </Part>
      </div>
    </Section>
  );
}

function Part({ title: heading, children }: { title: string; children: React.ReactNode }) {
  return (
    <div>
      <h3 className="mb-1.5 text-[13px] font-medium">{heading}</h3>
      {children}
    </div>
  );
}

type MeasureRow = [name: string, summary: Group["measures"][string]];

function GroupBody({ group, verdict }: { group: Group; verdict: string | undefined }) {
  const messages = useMessages();
  const texts = messages.performance.panels.protocol;
  const total = group.measures.total;
  const columns: Column<MeasureRow>[] = [
    { key: "measure", name: texts.measure, value: ([name]) => measureName(name, messages) },
    {
      key: "median",
      name: texts.median,
      value: ([name, summary]) => measureValue(name, summary.median),
      isNumeric: true,
    },
    {
      key: "interval",
      name: texts.interval,
      value: ([name, { interval: span }]) =>
        span ? `${measureValue(name, span.low)} – ${measureValue(name, span.high)}` : "–",
      isNumeric: true,
    },
    {
      key: "cv",
      name: texts.spread,
      value: ([, summary]) => percent(summary.cv, 1),
      isNumeric: true,
    },
    {
      key: "share",
      name: texts.share,
      value: ([name]) => percent(group.shares[name], 1),
      isNumeric: true,
    },
  ];
  return (
    <div>
      <div className="flex flex-wrap items-baseline justify-between gap-x-4">
        <h3 className="text-sm font-medium">
          {title(group.case)} <span className="font-normal text-muted">{group.state}</span>
        </h3>
        <p className="numeric text-sm font-semibold">
          {duration(total?.median)}{" "}
          <span className="text-xs font-normal text-muted">
            {texts.ofRuns(interval(total?.interval?.low, total?.interval?.high), group.n)}
          </span>
        </p>
      </div>
      {verdict && <p className="mt-0.5 text-[13px] text-muted">{texts.verdictIs(verdict)}</p>}
      <div className="mt-3">
        <ChartFrame
          title={texts.figuresOf(`${title(group.case)} ${group.state}`)}
          isTitleHidden
          summary={texts.figuresOf(`${title(group.case)} ${group.state}`)}
          columns={columns}
          rows={Object.entries(group.measures)}
          rowKey={([name]) => name}
        >
          <PhaseBar phases_s={phaseMeans(group)} hasLegend />
        </ChartFrame>
      </div>
      {group.quality.follows_prompt !== undefined && (
        <p className="mt-2 text-xs text-muted">
          {texts.follows(percent(group.quality.follows_prompt), group.quality.prompts_judged ?? 0)}
        </p>
      )}
      <details className="mt-2">
        <summary className="inline-flex min-h-6 items-center text-[13px] text-accent-ink">
          {texts.allFigures}
        </summary>
        <DataTable
          caption={texts.figuresOf(title(group.case))}
          columns={columns}
          rows={Object.entries(group.measures)}
          rowKey={([name]) => name}
        />
      </details>
    </div>
  );
}

function NextSteps({ steps }: { steps: readonly NextStep[] }) {
  const messages = useMessages();
  const { show } = useToasts();
  const copy = async (command: string) => {
    if (await copyText(command)) show({ tone: "good", text: messages.actions.copied });
    else show({ tone: "bad", text: messages.actions.notCopied });
  };
  return (
    <ul className="flex flex-col gap-2">
      {steps.map((step) => (
        <li key={step.command} className="flex items-start gap-2 rounded-lg bg-sunken px-3 py-2">
          <span className="min-w-0 flex-1 text-[13px]">
            <span className="block text-muted">{step.why}</span>
            <code className="block text-xs break-words">{step.command}</code>
          </span>
          <IconButton
            size="sm"
            label={`${messages.actions.copy}: ${step.command}`}
            icon={<Copy size={14} />}
            onClick={() => void copy(step.command)}
          />
        </li>
      ))}
    </ul>
  );
}
