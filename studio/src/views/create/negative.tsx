import { ChevronDown, RotateCcw } from "lucide-react";
import { useMessages } from "@/messages";
import { useDraft } from "@/stores/draft";
import { Button } from "@/ui/button";
import { cx } from "@/ui/cx";
import { TextArea } from "@/ui/field";
import { useForm } from "@/views/create/form";
import { useMemory } from "@/views/create/memory";
import { defaultNegative } from "@/views/create/schema";
import { useProblem } from "@/views/create/service";
import { TokenCount, useOverText, useTokens } from "@/views/create/tokens";

/** What to keep out: the job type's own text unless it was changed; empty means none. */
export function Negative() {
  const { negative } = useMessages().create;
  const { preset } = useForm();
  const text = useDraft((store) => store.draft.negative_prompt);
  const { isNegative, set } = useMemory();
  const problem = useProblem("negative_prompt");
  const isOpen = isNegative || problem !== undefined;
  const original = defaultNegative(preset);
  const isOwn = text !== null && text !== original;
  const state = isOwn ? (text === "" ? negative.isNone : negative.isOwn) : negative.isDefault;
  return (
    <div className="border-t border-line">
      <button
        type="button"
        aria-expanded={isOpen}
        aria-controls="negative"
        onClick={() => set({ isNegative: !isOpen })}
        className="flex h-11 w-full items-center gap-2 px-4 text-left text-[13px] font-medium focus-visible:-outline-offset-2 sm:px-5"
      >
        <span>{negative.label}</span>
        <span className={cx("font-normal", isOwn ? "text-accent-ink" : "text-muted")}>{state}</span>
        <ChevronDown
          size={16}
          aria-hidden
          className={cx("ml-auto text-muted transition-transform", isOpen && "rotate-180")}
        />
      </button>
      <div id="negative" hidden={!isOpen}>
        {isOpen && <NegativeText original={original} text={text} problem={problem} isOwn={isOwn} />}
      </div>
    </div>
  );
}

interface TextProps {
  original: string;
  text: string | null;
  problem: string | undefined;
  isOwn: boolean;
}

function NegativeText({ original, text, problem, isOwn }: TextProps) {
  const { negative } = useMessages().create;
  const { type } = useForm();
  const set = useDraft((store) => store.set);
  const shown = text ?? original;
  const tokens = useTokens(shown, type.name, "negative_prompt");
  const over = useOverText(tokens.counts);
  const note = problem ?? over;
  return (
    <div className="px-4 pb-4 sm:px-5">
      <TextArea
        aria-label={negative.label}
        aria-invalid={problem ? true : undefined}
        aria-describedby="negative-hint"
        rows={2}
        value={shown}
        onChange={(event) =>
          set({ negative_prompt: event.target.value === original ? null : event.target.value })
        }
      />
      <div className="mt-1.5 flex min-h-8 flex-wrap items-center gap-x-4 gap-y-1">
        <p
          id="negative-hint"
          className={cx(
            "text-xs",
            problem ? "text-bad" : over ? "font-medium text-warn" : "text-muted",
          )}
        >
          {note ?? negative.hint}
        </p>
        <TokenCount {...tokens} />
        {isOwn && (
          <Button
            size="sm"
            variant="ghost"
            className="-mr-2 ml-auto"
            icon={<RotateCcw size={14} aria-hidden />}
            onClick={() => set({ negative_prompt: null })}
          >
            {negative.reset}
          </Button>
        )}
      </div>
    </div>
  );
}
