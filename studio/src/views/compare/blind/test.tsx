import { useState } from "react";
import { useShortcut } from "@/lib/shortcuts";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { Section } from "@/ui/card";
import { sidesOf } from "@/views/compare/blind/logic";
import { Queue } from "@/views/compare/blind/queue";
import { Reveal } from "@/views/compare/blind/reveal";
import { type BlindTest, type Choice, useVote } from "@/views/compare/queries";
import { Stage } from "@/views/compare/stage";
import type { Look } from "@/views/compare/stage/source";

interface Props {
  test: BlindTest;
  open: readonly BlindTest[];
  look: Look;
  onLook(look: Look): void;
  /** null: no other test is open. */
  onNext: (() => void) | null;
  onOpen(id: string): void;
}

/** One blind test: look, vote, learn what it was. */
export function Test({ test, open, look, onLook, onNext, onOpen }: Props) {
  const texts = useMessages().compare;
  const [index, setIndex] = useState(0);
  const sources = sidesOf(test, index, [texts.a, texts.b]);
  return (
    <Section
      title={texts.question}
      text={texts.blindText}
      actions={
        open.length > 0 && (
          <div className="flex flex-col gap-1.5 sm:items-end">
            <span className="text-[13px] text-muted">{texts.waitingTests(open.length)}</span>
            <Queue open={open} current={test.id} onOpen={onOpen} />
          </div>
        )
      }
    >
      {sources.length < 2 ? (
        <p className="py-6 text-center text-sm text-muted">{texts.blindGone}</p>
      ) : (
        <Stage
          sources={sources}
          look={look}
          onLook={onLook}
          count={Math.min(test.a.length, test.b.length)}
          index={index}
          onIndex={setIndex}
        />
      )}
      <div className="mt-4 border-t border-line pt-4" aria-live="polite">
        {test.names && test.choice ? (
          <Reveal names={test.names} choice={test.choice} onNext={onNext} />
        ) : (
          <Ballot id={test.id} isOpen={sources.length === 2} onSkip={onNext} />
        )}
      </div>
    </Section>
  );
}

interface BallotProps {
  id: string;
  isOpen: boolean;
  onSkip: (() => void) | null;
}

function Ballot({ id, isOpen, onSkip }: BallotProps) {
  const texts = useMessages().compare;
  const vote = useVote();
  const choose = (choice: Choice) => {
    if (!vote.isPending) vote.mutate({ id, choice });
  };
  useShortcut({ keys: "a", label: texts.voteA, scope: "here" }, () => choose("a"), isOpen);
  useShortcut({ keys: "b", label: texts.voteB, scope: "here" }, () => choose("b"), isOpen);
  useShortcut({ keys: "=", label: texts.voteTie, scope: "here" }, () => choose("tie"), isOpen);
  const choices = [
    { choice: "a", label: texts.voteA, key: "A" },
    { choice: "tie", label: texts.voteTie, key: "=" },
    { choice: "b", label: texts.voteB, key: "B" },
  ] as const;
  return (
    <div className="grid grid-cols-3 gap-2 sm:flex sm:justify-center">
      {choices.map(({ choice, label, key }) => (
        <Button
          key={choice}
          size="lg"
          className="max-sm:px-2! max-sm:text-sm!"
          disabled={!isOpen || vote.isPending}
          onClick={() => choose(choice)}
        >
          {label}
          <kbd
            aria-hidden
            className="rounded border border-line bg-sunken px-1.5 text-xs text-muted max-sm:hidden"
          >
            {key}
          </kbd>
        </Button>
      ))}
      {onSkip && (
        <Button size="lg" variant="ghost" className="max-sm:col-span-3" onClick={onSkip}>
          {texts.skip}
        </Button>
      )}
    </div>
  );
}
