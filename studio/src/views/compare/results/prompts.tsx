import type { Job } from "@/api/client";
import { useMessages } from "@/messages";
import { Section } from "@/ui/card";
import { type Words, wordDiff } from "@/views/compare/logic/settings";
import { Tag } from "@/views/compare/stage/tag";

interface Props {
  jobs: readonly Job[];
  nameOf(job: Job): string;
}

const ranWith = (job: Job): string => job.enhanced_prompt ?? job.prompt;

/** What the prompts differ in; nothing where they are equal. */
export function Prompts({ jobs, nameOf }: Props) {
  const texts = useMessages().compare;
  const [first, ...others] = jobs;
  if (!first || others.every((job) => ranWith(job) === ranWith(first))) return null;
  return (
    <Section id="prompts" title={texts.prompts} text={texts.promptsText(nameOf(first))}>
      <ul className="flex flex-col gap-3 text-sm leading-relaxed">
        <li className="flex items-start gap-3">
          <Tag name={nameOf(first)} />
          <p className="min-w-0 break-words">{ranWith(first)}</p>
        </li>
        {others.map((job) => (
          <li key={job.id} className="flex items-start gap-3">
            <Tag name={nameOf(job)} />
            <Difference words={wordDiff(ranWith(first), ranWith(job))} />
          </li>
        ))}
      </ul>
    </Section>
  );
}

function Difference({ words }: { words: readonly Words[] }) {
  const texts = useMessages().compare;
  return (
    <p className="min-w-0 break-words">
      {words.map((part, at) => (
        <Part key={at} part={part} texts={texts} />
      ))}
    </p>
  );
}

function Part({ part, texts }: { part: Words; texts: { added: string; removed: string } }) {
  if (part.kind === "same") return <>{part.text} </>;
  const isAdded = part.kind === "added";
  const Mark = isAdded ? "ins" : "del";
  return (
    <>
      <Mark
        className={
          isAdded
            ? "rounded bg-good-soft px-1 font-medium underline decoration-2 underline-offset-2"
            : "rounded bg-bad-soft px-1 text-muted line-through"
        }
      >
        <span className="sr-only">{isAdded ? texts.added : texts.removed}: </span>
        {part.text}
      </Mark>{" "}
    </>
  );
}
