import { ArrowRight, Check, Sparkles } from "lucide-react";
import { Link } from "wouter";
import { duration } from "@/lib/format";
import { shownKeys, useShortcut } from "@/lib/shortcuts";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { cx } from "@/ui/cx";
import { NumberField } from "@/ui/field";
import { useMemory } from "@/views/create/memory";
import { errorText, problemOf } from "@/views/create/problems";
import { MOST_COPIES } from "@/views/create/request";
import { useEstimate, useProblem, useSubmitting } from "@/views/create/service";

const SUBMIT = "mod+enter";

function GenerateButton({ className }: { className?: string }) {
  const { create } = useMessages();
  const { submit, isBusy } = useSubmitting();
  const copies = useMemory((store) => store.copies);
  return (
    <Button
      variant="primary"
      size="lg"
      isBusy={isBusy}
      icon={<Sparkles size={17} aria-hidden />}
      onClick={submit}
      aria-keyshortcuts="Control+Enter Meta+Enter"
      className={className}
    >
      {copies === 1 ? create.generate : create.submit.copiesHint(copies)}
      <kbd aria-hidden className="ml-1 hidden font-sans text-xs font-normal md:inline">
        {shownKeys(SUBMIT).join(" ")}
      </kbd>
    </Button>
  );
}

/** The end of the composer: how many, go, and what came of it. */
export function SubmitRow() {
  const { create } = useMessages();
  const { submit } = useSubmitting();
  const { copies, set } = useMemory();
  useShortcut({ keys: SUBMIT, label: create.generateHere, scope: "here" }, submit);
  return (
    <div className="flex flex-wrap items-center gap-x-5 gap-y-3 border-t border-line bg-canvas/60 px-4 py-3 sm:px-5">
      <div className="flex items-center gap-2.5">
        <label htmlFor="copies" className="text-[13px] font-medium">
          {create.submit.copies}
        </label>
        <div className="w-28">
          <NumberField
            id="copies"
            label={create.submit.copies}
            value={copies}
            min={1}
            max={MOST_COPIES}
            onChange={(value) => set({ copies: Math.round(value) })}
          />
        </div>
      </div>
      <Outcome className="min-w-0 flex-1 max-md:hidden" />
      <GenerateButton className="max-md:hidden" />
    </div>
  );
}

/** What came of the last press, said where it was made. */
function Outcome({ className }: { className?: string }) {
  const { create } = useMessages();
  const { numAdded, error } = useSubmitting();
  const problem = useProblem(null);
  const isOfField = problemOf(error)?.param != null;
  const text = problem ?? (error != null && !isOfField ? errorText(error) : null);
  return (
    <div role="status" className={cx("text-[13px]", className)}>
      {numAdded !== null && (
        <span className="flex flex-wrap items-center gap-x-2">
          <Check size={15} aria-hidden className="text-good" />
          {create.submit.added(numAdded)}
          <Link
            href="/queue"
            className="inline-flex min-h-6 items-center gap-1 font-medium text-accent-ink underline-offset-2 hover:underline"
          >
            {create.submit.seeQueue}
            <ArrowRight size={14} aria-hidden />
          </Link>
        </span>
      )}
      {text && (
        <span className="text-bad">
          {error ? `${create.submit.failed} ` : ""}
          {text}
        </span>
      )}
    </div>
  );
}

/** On phones the button stays in reach, with the time beside it and what came of it above. */
export function ActionBar() {
  const { create } = useMessages();
  const { answer } = useEstimate();
  const total_s = answer?.expected?.total_s;
  return (
    <div className="fixed inset-x-0 bottom-[calc(3.5rem+env(safe-area-inset-bottom))] z-20 border-t border-line bg-surface px-4 py-2 md:hidden">
      <Outcome className="not-empty:pb-2" />
      <div className="flex items-center gap-3">
        <div className="min-w-0 flex-1">
          <p className="text-xs text-muted">{create.expected.title}</p>
          <p className="numeric truncate text-sm font-semibold">
            {total_s == null ? "–" : create.expected.about(duration(total_s))}
          </p>
        </div>
        <GenerateButton />
      </div>
    </div>
  );
}
