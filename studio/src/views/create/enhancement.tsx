import { Undo2, WandSparkles } from "lucide-react";
import { useState } from "react";
import type { Job } from "@/api/client";
import { title } from "@/lib/format";
import { phaseName } from "@/lib/phases";
import { useMessages } from "@/messages";
import { useDraft } from "@/stores/draft";
import { Button, Spinner } from "@/ui/button";
import { accept, type Enhancing } from "@/views/create/enhancing";
import { useChoose, useForm } from "@/views/create/form";
import { plainOf } from "@/views/create/kinds";
import { errorText } from "@/views/create/problems";
import { Review } from "@/views/create/review";

export function EnhanceButton({ enhancing }: { enhancing: Enhancing }) {
  const { enhance } = useMessages().create;
  const isBlank = useDraft((store) => store.draft.prompt.trim() === "");
  const { enhancer, proposal, isWorking, ask } = enhancing;
  return (
    <Button
      size="sm"
      className="ml-auto"
      icon={<WandSparkles size={15} aria-hidden />}
      disabled={enhancer === null || isBlank}
      title={enhancer === null ? enhance.none : undefined}
      isBusy={isWorking}
      onClick={ask}
    >
      {proposal ? enhance.again : enhance.action}
    </Button>
  );
}

interface Accepted {
  prompt: string;
  undo(): void;
}

/** What the enhancer made of the prompt, beside it, until the person has said what to do with it. */
export function Enhancement({ enhancing }: { enhancing: Enhancing }) {
  const { isWorking, error, job, proposal, close } = enhancing;
  const [accepted, setAccepted] = useState<Accepted | null>(null);
  if (isWorking) return <Working enhancing={enhancing} />;
  if (error) return <Unusable text={errorText(error)} onClose={close} />;
  if (proposal && job?.enhanced_prompt && job.enhancement?.verdict === "usable")
    return (
      <Review
        key={job.id}
        job={job}
        original={proposal.original}
        onAccept={(prompt) => {
          setAccepted({ prompt, undo: accept(prompt) });
          close();
        }}
        onKeep={close}
      />
    );
  if (proposal && job) return <Refused job={job} onClose={close} />;
  return accepted && <Used accepted={accepted} onUndone={() => setAccepted(null)} />;
}

const PANEL = "border-t border-line bg-canvas/60 px-4 py-3 sm:px-5";

function Working({ enhancing }: { enhancing: Enhancing }) {
  const messages = useMessages();
  const { enhance } = messages.create;
  const phase = enhancing.job?.progress?.phase;
  const isWaiting = enhancing.job?.state === "queued";
  return (
    <div role="status" className={`${PANEL} flex items-center gap-3 text-[13px]`}>
      <Spinner />
      <span className="flex-1">
        {enhance.working}
        <span className="text-muted">
          {isWaiting && ` · ${enhance.waiting}`}
          {phase && ` · ${phaseName(phase, messages)}`}
        </span>
      </span>
      <Button size="sm" variant="ghost" onClick={() => void enhancing.cancel()}>
        {enhance.cancel}
      </Button>
    </div>
  );
}

function Refused({ job, onClose }: { job: Job; onClose(): void }) {
  const { enhance } = useMessages().create;
  const verdict = job.enhancement?.verdict ?? "";
  const told = job.error && `${job.error.message} ${job.error.hint ?? ""}`;
  const text =
    job.state === "cancelled" ? enhance.cancelled : (enhance.reasons[verdict] ?? enhance.failed);
  return <Unusable text={text} detail={told} onClose={onClose} />;
}

function Unusable({
  text,
  detail,
  onClose,
}: {
  text: string;
  detail?: string | null;
  onClose(): void;
}) {
  const messages = useMessages();
  return (
    <div
      role="alert"
      className="flex items-start gap-3 border-t border-line bg-warn-soft px-4 py-3 text-[13px] sm:px-5"
    >
      <div className="min-w-0 flex-1 py-1.5">
        <p className="font-medium">{text}</p>
        {detail && <p className="text-muted">{detail}</p>}
      </div>
      <Button size="sm" onClick={onClose}>
        {messages.actions.close}
      </Button>
    </div>
  );
}

/** After accepting: the way back, and what an enhanced job type would do to the text again. */
function Used({ accepted, onUndone }: { accepted: Accepted; onUndone(): void }) {
  const { enhance } = useMessages().create;
  const { catalogue, type } = useForm();
  const { chooseType } = useChoose();
  const isStill = useDraft((store) => store.draft.prompt === accepted.prompt);
  if (!isStill) return null;
  const plain = type.is_enhanced ? plainOf(catalogue.job_types, type) : null;
  return (
    <div className={`${PANEL} flex flex-wrap items-center gap-x-4 gap-y-2 text-[13px]`}>
      <p role="status" className="min-w-0 flex-1">
        {enhance.used}
        {plain && <span className="text-muted"> {enhance.byItself(title(type.name))}</span>}
      </p>
      {plain && (
        <Button size="sm" onClick={() => chooseType(plain)}>
          {enhance.switchTo(title(plain.name))}
        </Button>
      )}
      <Button
        size="sm"
        icon={<Undo2 size={15} aria-hidden />}
        onClick={() => {
          accepted.undo();
          onUndone();
        }}
      >
        {enhance.undo}
      </Button>
    </div>
  );
}
