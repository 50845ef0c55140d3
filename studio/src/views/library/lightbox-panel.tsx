import { Copy } from "lucide-react";
import { memo, type ReactNode } from "react";
import type { Asset, Job } from "@/api/client";
import { copyText } from "@/lib/clipboard";
import { duration, fullMoment } from "@/lib/format";
import { DefectTags } from "@/media/defect-tags";
import { type Fact, madeIn, workPhases } from "@/media/facts";
import { FactList, JobFacts } from "@/media/job-facts";
import { Stars } from "@/media/stars";
import { type Messages, useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { PhaseBar } from "@/ui/phase-bar";
import { Actions } from "@/views/library/lightbox-actions";

interface Props {
  job: Job;
  asset: Asset | undefined;
  onDelete(id: string): void;
}

/** Everything that is known of a result, and what can be done with it. */
export const LightboxPanel = memo(function LightboxPanel({ job, asset, onDelete }: Props) {
  const messages = useMessages();
  const texts = messages.library;
  const enhanced = job.enhanced_prompt && job.enhanced_prompt !== job.prompt;
  return (
    <div className="flex flex-col gap-5">
      <Text title={texts.prompt} copied={job.prompt}>
        {job.prompt}
      </Text>
      <Actions job={job} asset={asset} onDelete={() => onDelete(job.id)} />
      {job.state === "succeeded" && (
        <section className="flex flex-col gap-2">
          <h3 className="text-xs font-medium text-muted">{texts.rate}</h3>
          <Stars job={job} className="-ml-1" />
          <DefectTags job={job} />
        </section>
      )}
      <TimeLedger job={job} />
      {enhanced && <Text title={texts.enhancedPrompt}>{job.enhanced_prompt}</Text>}
      {job.negative_prompt && <Text title={texts.negativePrompt}>{job.negative_prompt}</Text>}
      <JobFacts job={job} />
      <Notes job={job} />
      <p className="numeric text-xs break-all text-faint">
        {fullMoment(job.created_at)} · {job.id}
      </p>
    </div>
  );
});

interface TextProps {
  title: string;
  /** Offer to copy this. */
  copied?: string;
  children: ReactNode;
}

function Text({ title, copied, children }: TextProps) {
  const texts = useMessages().library;
  return (
    <section>
      <h3 className="flex h-6 items-center justify-between text-xs font-medium text-muted">
        {title}
        {copied && (
          <Button
            size="sm"
            variant="ghost"
            className="size-6! px-0!"
            aria-label={texts.copyPrompt}
            title={texts.copyPrompt}
            icon={<Copy size={14} />}
            onClick={() => void copyText(copied)}
          />
        )}
      </h3>
      <p className="text-sm leading-relaxed break-words whitespace-pre-wrap">{children}</p>
    </section>
  );
}

function TimeLedger({ job }: { job: Job }) {
  const messages = useMessages();
  if (!job.ledger) return null;
  return (
    <section>
      <PhaseBar phases_s={workPhases(job)} hasLegend className="mb-3" />
      <FactList title={messages.library.time} facts={timeFacts(job, messages)} />
    </section>
  );
}

const LEAST_SHARED_S = 0.05;

function timeFacts(job: Job, { library: texts }: Messages): Fact[] {
  const { ledger } = job;
  if (!ledger) return [];
  const facts: (Fact | null)[] = [
    { key: "made", name: texts.made, value: duration(madeIn(job)) },
    { key: "wait", name: texts.waited, value: duration(ledger.phases_s.queue_wait ?? 0) },
    ledger.step_s == null
      ? null
      : { key: "step", name: texts.perStep, value: duration(ledger.step_s) },
    ledger.device_s == null
      ? null
      : { key: "device", name: texts.device, value: duration(ledger.device_s) },
    (ledger.shared_s ?? 0) < LEAST_SHARED_S
      ? null
      : { key: "shared", name: texts.shared, value: duration(ledger.shared_s) },
    ledger.state
      ? {
          key: "state",
          name: texts.loadState,
          value: texts.loadStates[ledger.state] ?? ledger.state,
        }
      : null,
    ledger.compile_state
      ? {
          key: "compile",
          name: texts.compileState,
          value: texts.compileStates[ledger.compile_state] ?? ledger.compile_state,
        }
      : null,
  ];
  return facts.filter((fact) => fact !== null);
}

/** What was not done as asked. */
function Notes({ job }: { job: Job }) {
  const texts = useMessages().library;
  if (job.adjustments.length === 0 && job.num_attempts <= 1) return null;
  return (
    <section>
      <h3 className="mb-1 text-xs font-medium text-muted">{texts.notes}</h3>
      <ul className="flex list-disc flex-col gap-1 pl-4 text-[13px]">
        {job.num_attempts > 1 && <li>{texts.attempts(job.num_attempts)}</li>}
        {job.adjustments.map(({ code, text }) => (
          <li key={`${code} ${text}`}>{text}</li>
        ))}
      </ul>
    </section>
  );
}
