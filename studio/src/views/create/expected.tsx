import type { Schemas } from "@/api/client";
import { duration, interval } from "@/lib/format";
import { useMessages } from "@/messages";
import { Spinner } from "@/ui/button";
import { Section } from "@/ui/card";
import { PhaseBar } from "@/ui/phase-bar";
import { Skeleton } from "@/ui/states";
import { useMemory } from "@/views/create/memory";
import { errorText } from "@/views/create/problems";
import { useEstimate, useFormProblem } from "@/views/create/service";

type ExpectedTime = Schemas["ExpectedTime"];

/** What the job as it stands would take, and what that rests on. */
export function Expected() {
  const { expected: texts } = useMessages().create;
  const { answer, isUpdating, error } = useEstimate();
  const problem = useFormProblem();
  const note = problem ? texts.wrong : error ? texts.unread(errorText(error)) : null;
  return (
    <Section
      id="expected"
      title={texts.title}
      actions={isUpdating && answer && note === null && <Updating />}
    >
      <div aria-busy={isUpdating}>
        {note ? (
          <p className="text-[13px] text-muted">{note}</p>
        ) : answer ? (
          <Answer answer={answer} />
        ) : (
          <Waiting />
        )}
      </div>
    </Section>
  );
}

function Updating() {
  const { expected: texts } = useMessages().create;
  return (
    <span className="text-muted">
      <span className="sr-only">{texts.updating}</span>
      <Spinner />
    </span>
  );
}

function Waiting() {
  return (
    <div className="flex min-h-56 flex-col gap-3">
      <Skeleton className="h-8 w-32" />
      <Skeleton className="h-1.5 w-full" />
      <Skeleton className="h-4 w-48" />
    </div>
  );
}

function Answer({ answer }: { answer: Schemas["ExpectedAnswer"] }) {
  const { expected: texts } = useMessages().create;
  const { expected } = answer;
  return (
    <>
      {expected ? <Time expected={expected} /> : <p className="text-[13px]">{texts.unknown}</p>}
      <p className="mt-3 border-t border-line pt-3 text-[13px]">{useWaitText(answer)}</p>
    </>
  );
}

const MOMENT_S = 1;

function useWaitText({ starts_in, queue_position }: Schemas["ExpectedAnswer"]): string {
  const { expected: texts } = useMessages().create;
  if (starts_in === null) return texts.noWorker;
  if (starts_in.seconds < MOMENT_S) return texts.startsNow;
  return texts.startsIn(duration(starts_in.seconds), queue_position);
}

function Time({ expected }: { expected: ExpectedTime }) {
  const { expected: texts } = useMessages().create;
  const copies = useMemory((store) => store.copies);
  const basis = expected.basis === "history" ? texts.history(expected.num_records) : texts.prior;
  const state = expected.state === "resident" ? texts.resident : texts.cold;
  return (
    <>
      <p className="flex flex-wrap items-baseline gap-x-3">
        <span className="numeric text-2xl font-semibold tracking-tight">
          {texts.about(duration(expected.total_s))}
        </span>
        {copies > 1 && <span className="text-[13px] text-muted">{texts.each(copies)}</span>}
      </p>
      <p className="numeric mt-0.5 text-[13px] text-muted">
        {texts.interval(interval(expected.low_s, expected.high_s))}
      </p>
      <PhaseBar phases_s={shown(expected)} className="mt-4" hasLegend />
      <p className="mt-3 text-xs text-muted">
        {basis}; {state}.
      </p>
    </>
  );
}

const LEAST_SHARE = 0.004; // what can't be seen on the bar has no place in its legend

function shown({ phases_s, total_s }: ExpectedTime): Record<string, number> {
  return Object.fromEntries(
    Object.entries(phases_s).filter(([, seconds]) => seconds >= total_s * LEAST_SHARE),
  );
}
