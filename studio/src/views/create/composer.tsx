import { FileUp, X } from "lucide-react";
import { useEffect, useRef } from "react";
import { number } from "@/lib/format";
import { useMessages } from "@/messages";
import { useDraft } from "@/stores/draft";
import { Button, IconButton } from "@/ui/button";
import { Card } from "@/ui/card";
import { cx } from "@/ui/cx";
import { EnhanceButton, Enhancement } from "@/views/create/enhancement";
import { type Enhancing, useEnhance } from "@/views/create/enhancing";
import { useForm } from "@/views/create/form";
import { Negative } from "@/views/create/negative";
import { maxPromptLength } from "@/views/create/schema";
import { useProblem } from "@/views/create/service";
import { SubmitRow } from "@/views/create/submit";
import { TokenCount, useOverText, useTokens } from "@/views/create/tokens";

export function Composer({ onPickFile }: { onPickFile(): void }) {
  const enhancing = useEnhance();
  return (
    <Card className="overflow-hidden transition-colors has-[#prompt:focus-visible]:border-accent has-[#prompt:focus-visible]:ring-1 has-[#prompt:focus-visible]:ring-accent">
      <Prompt onPickFile={onPickFile} enhancing={enhancing} />
      <Enhancement enhancing={enhancing} />
      <Negative />
      <SubmitRow />
    </Card>
  );
}

/** Where there is a keyboard, writing may start at once. */
function useDesktopFocus() {
  const ref = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    if (!window.matchMedia?.("(pointer: fine) and (min-width: 768px)").matches) return;
    const timer = setTimeout(() => {
      const { activeElement } = document;
      const isFree = !activeElement || ["BODY", "MAIN"].includes(activeElement.tagName);
      if (isFree) ref.current?.focus({ preventScroll: true }); // else an open menu would close
    });
    return () => clearTimeout(timer);
  }, []);
  return ref;
}

function Prompt({ onPickFile, enhancing }: { onPickFile(): void; enhancing: Enhancing }) {
  const messages = useMessages();
  const texts = messages.create.prompt;
  const { type } = useForm();
  const prompt = useDraft((store) => store.draft.prompt);
  const set = useDraft((store) => store.set);
  const tokens = useTokens(prompt, type.name, "prompt");
  const over = useOverText(tokens.counts);
  const limit = maxPromptLength(type);
  const tooLong = prompt.length > limit ? texts.tooLong(prompt.length - limit) : null;
  const problem = useProblem("prompt");
  const error = tooLong ?? problem ?? null;
  const ref = useDesktopFocus();
  return (
    <div>
      <div className="flex items-center justify-between gap-3 px-4 pt-3 sm:px-5">
        <label htmlFor="prompt" className="text-[13px] font-medium">
          {texts.label}
        </label>
        <span className="-mr-2 flex">
          <Button
            size="sm"
            variant="ghost"
            icon={<FileUp size={15} aria-hidden />}
            aria-label={messages.create.file.action}
            onClick={onPickFile}
          >
            {messages.create.file.short}
          </Button>
          {prompt && (
            <IconButton
              size="sm"
              label={texts.clear}
              icon={<X size={15} />}
              onClick={() => {
                useDraft.getState().replace({ ...useDraft.getState().draft, prompt: "" });
                ref.current?.focus();
              }}
            />
          )}
        </span>
      </div>
      <textarea
        ref={ref}
        id="prompt"
        value={prompt}
        onChange={(event) => set({ prompt: event.target.value })}
        placeholder={texts.placeholder}
        aria-invalid={error ? true : undefined}
        aria-describedby="prompt-notes"
        className="field-sizing-content block max-h-[55vh] min-h-32 w-full resize-none bg-transparent px-4 pt-1 pb-2 text-base leading-relaxed outline-none placeholder:text-faint sm:px-5 md:min-h-40"
      />
      {prompt.trim() === "" && <Examples />}
      <div className="flex min-h-10 flex-wrap items-center justify-between gap-x-4 gap-y-2 px-4 pb-3 sm:px-5">
        <span className="flex flex-wrap items-center gap-x-3">
          <TokenCount {...tokens} />
          <span
            className={cx("numeric text-xs", tooLong ? "font-medium text-bad" : "text-muted")}
            hidden={prompt.length < limit * 0.75}
          >
            {texts.characters(number(prompt.length), number(limit))}
          </span>
        </span>
        <EnhanceButton enhancing={enhancing} />
      </div>
      <div id="prompt-notes" aria-live="polite">
        {error ? (
          <p className="px-4 pb-3 text-[13px] text-bad sm:px-5">{error}</p>
        ) : (
          over && <p className="bg-warn-soft px-4 py-2 text-[13px] text-warn sm:px-5">{over}</p>
        )}
      </div>
    </div>
  );
}

function Examples() {
  const { examples, prompt } = useMessages().create;
  const { catalogue } = useForm();
  const set = useDraft((store) => store.set);
  const texts = catalogue.profile === "pocket" ? examples.pocket : examples.full;
  return (
    <ul aria-label={prompt.examples} className="flex flex-wrap gap-2 px-4 pb-3 sm:px-5">
      {texts.map((text) => (
        <li key={text} className="max-w-full min-w-0">
          <button
            type="button"
            onClick={() => {
              set({ prompt: text });
              document.getElementById("prompt")?.focus();
            }}
            className="min-h-8 max-w-full rounded-lg border border-line px-2.5 py-1 text-left text-[13px] text-muted transition-colors hover:border-line-strong hover:text-ink"
          >
            {text}
          </button>
        </li>
      ))}
    </ul>
  );
}
