import { Check, Pencil } from "lucide-react";
import { Fragment, type ReactNode, useMemo, useState } from "react";
import type { Job, JobType } from "@/api/client";
import { number, title } from "@/lib/format";
import { useMessages } from "@/messages";
import { useDraft } from "@/stores/draft";
import { Badge } from "@/ui/badge";
import { Button } from "@/ui/button";
import { TextArea } from "@/ui/field";
import { diff, type Part } from "@/views/create/diff";
import { useForm } from "@/views/create/form";
import { plainOf } from "@/views/create/kinds";
import { TokenCount, useOverText, useTokens } from "@/views/create/tokens";

interface Props {
  job: Job;
  original: string;
  onAccept(prompt: string): void;
  onKeep(): void;
}

/** Both prompts side by side; words that differ are marked. */
export function Review({ job, original, onAccept, onKeep }: Props) {
  const { enhance } = useMessages().create;
  const [text, setText] = useState(job.enhanced_prompt ?? "");
  const [isEditing, setIsEditing] = useState(false);
  const { left, right } = useMemo(() => diff(original, text), [original, text]);
  const isChanged = useDraft((store) => store.draft.prompt.trim() !== original);
  return (
    <section
      aria-label={enhance.title}
      className="border-t border-line bg-canvas/60 px-4 pt-3 pb-4 sm:px-5"
    >
      <Facts job={job} />
      <div className="mt-2.5 grid gap-3 sm:grid-cols-2">
        <Side name={enhance.yours} text={original}>
          <Marked parts={left} />
        </Side>
        <Side name={enhance.enhanced} text={text}>
          {isEditing ? (
            <TextArea
              aria-label={enhance.editLabel}
              autoFocus
              className="field-sizing-content min-h-24"
              value={text}
              onChange={(event) => setText(event.target.value)}
            />
          ) : (
            <Marked parts={right} />
          )}
        </Side>
      </div>
      {isChanged && <p className="mt-3 text-xs text-muted">{enhance.changedSince}</p>}
      <div className="mt-3 flex flex-wrap gap-2">
        <Button
          size="sm"
          variant="primary"
          icon={<Check size={15} aria-hidden />}
          disabled={text.trim() === ""}
          onClick={() => onAccept(text.trim())}
        >
          {enhance.use}
        </Button>
        <Button
          size="sm"
          icon={<Pencil size={14} aria-hidden />}
          onClick={() => setIsEditing(!isEditing)}
        >
          {isEditing ? enhance.compare : enhance.edit}
        </Button>
        <Button size="sm" variant="ghost" onClick={onKeep}>
          {enhance.keep}
        </Button>
      </div>
    </section>
  );
}

function Facts({ job }: { job: Job }) {
  const { enhance } = useMessages().create;
  const { catalogue, type } = useForm();
  const writer = catalogue.job_types.find((each) => each.name === job.job_type);
  const { verdict } = job.enhancement ?? {};
  const tokens = tokensText(job, enhance);
  return (
    <div className="flex flex-wrap items-center gap-x-2.5 gap-y-1 text-xs text-muted">
      <h2 className="text-[13px] font-medium text-ink">{enhance.title}</h2>
      {verdict && <Badge tone="good">{enhance.verdicts[verdict] ?? verdict}</Badge>}
      {tokens && <span className="numeric">{tokens}</span>}
      {writer && !isAlike(writer, type) && <span>{enhance.writtenFor(title(writer.name))}</span>}
    </div>
  );
}

/** What is written for the one is right for the other. */
const isAlike = (a: JobType, b: JobType): boolean =>
  a.family === b.family && a.media_type === b.media_type;

function tokensText(
  job: Job,
  texts: { tokens(from: string, to: string): string; truncated(count: number): string },
): string | null {
  const { num_tokens_in, num_tokens_out, num_tokens_truncated } = job.enhancement ?? {};
  if (num_tokens_in == null || num_tokens_out == null) return null;
  const counts = texts.tokens(number(num_tokens_in), number(num_tokens_out));
  return num_tokens_truncated ? `${counts}, ${texts.truncated(num_tokens_truncated)}` : counts;
}

/** One of the two texts, with what it takes in the model that would read it. */
function Side({ name, text, children }: { name: string; text: string; children: ReactNode }) {
  const { catalogue, type } = useForm();
  const reader = plainOf(catalogue.job_types, type) ?? type;
  const tokens = useTokens(text, reader.name, "prompt");
  const over = useOverText(tokens.counts);
  return (
    <div className="flex min-w-0 flex-col rounded-xl border border-line bg-surface p-3">
      <div className="mb-1.5 flex flex-wrap items-baseline justify-between gap-x-3 text-xs">
        <h3 className="font-medium text-muted">{name}</h3>
        <TokenCount {...tokens} />
      </div>
      <div className="text-sm leading-relaxed break-words whitespace-pre-wrap">{children}</div>
      {over && <p className="mt-2 text-xs text-warn">{over}</p>}
    </div>
  );
}

function Marked({ parts }: { parts: Part[] }) {
  return parts.map((part, index) => {
    const key = `${index}-${part.kind}`;
    const words = part.text.trimStart();
    const space = part.text.slice(0, part.text.length - words.length);
    if (part.kind === "removed")
      return (
        <Fragment key={key}>
          {space}
          <del className="rounded-sm bg-bad-soft text-bad decoration-1">{words}</del>
        </Fragment>
      );
    if (part.kind === "added")
      return (
        <Fragment key={key}>
          {space}
          <ins className="rounded-sm bg-good-soft text-good decoration-1 underline-offset-4">
            {words}
          </ins>
        </Fragment>
      );
    return <span key={key}>{part.text}</span>;
  });
}
