import { ChevronRight } from "lucide-react";
import { Link } from "wouter";
import { moment, percent } from "@/lib/format";
import { type Messages, useMessages } from "@/messages";
import { Badge, type Tone } from "@/ui/badge";
import type { Change } from "@/views/performance/queries";
import { ledgerPath } from "@/views/performance/sections";
import { DecisionBox } from "@/views/performance/trends/decide";
import { type Difference, differencesOf, logOf } from "@/views/performance/trends/marks";
import { measureName } from "@/views/performance/words";

const TONES: Record<Change["effect"], Tone> = {
  regression: "bad",
  improvement: "good",
  mixed: "warn",
  none: "neutral",
};

export function changeTitle(change: Change, messages: Messages): string {
  return messages.performance.change[change.effect](moment(change.at));
}

/** A change: how large, what else changed there, and what somebody decided about it. */
export function ChangeCard({
  change,
  domId,
  isImported,
}: {
  change: Change;
  domId: string;
  /** Of another installation's records: there is no job to open, and nothing to decide here. */
  isImported: boolean;
}) {
  const messages = useMessages();
  const words = messages.performance.change;
  const differences = differencesOf(change);
  const marks = logOf(change);
  return (
    <article
      id={domId}
      tabIndex={-1}
      aria-labelledby={`${domId}-title`}
      className="rounded-xl border border-line p-4"
    >
      <header className="flex flex-wrap items-center gap-2">
        <Badge tone={TONES[change.effect]}>{words.effects[change.effect]}</Badge>
        <h3 id={`${domId}-title`} className="text-sm font-semibold">
          {changeTitle(change, messages)}
        </h3>
        {!isImported && (
          <Link
            href={ledgerPath(change.at_record)}
            className="ml-auto inline-flex min-h-6 items-center text-[13px] text-accent-ink underline underline-offset-2"
          >
            {words.firstRun}
            <ChevronRight size={14} aria-hidden />
          </Link>
        )}
      </header>
      <div className="mt-3 grid gap-x-8 gap-y-4 lg:grid-cols-2">
        <Shifts change={change} />
        <section>
          <h4 className="mb-1.5 text-xs text-muted">{words.differences}</h4>
          {differences.length > 0 ? (
            <Differences differences={differences} />
          ) : (
            <p className="text-[13px]">{change.cause || words.noDifference}</p>
          )}
          {!differences.every((each) => change.cause.includes(each.name)) && (
            <p className="mt-2 text-[13px] break-words text-muted">{change.cause}</p>
          )}
          {marks.some((mark) => mark.kind === "note") && (
            <ul className="mt-2 text-[13px]">
              {marks
                .filter((mark) => mark.kind === "note")
                .map((mark) => (
                  <li key={mark.text}>{mark.text}</li>
                ))}
            </ul>
          )}
        </section>
      </div>
      {isImported ? (
        <p className="mt-4 border-t border-line pt-3 text-[13px] text-muted">
          {messages.performance.decide.imported}
        </p>
      ) : (
        <DecisionBox change={change} />
      )}
    </article>
  );
}

function Shifts({ change }: { change: Change }) {
  const messages = useMessages();
  const words = messages.performance.change;
  return (
    <section className="min-w-0">
      <h4 className="mb-1.5 text-xs text-muted">{words.measures}</h4>
      <ul className="flex flex-col gap-1.5 text-[13px]">
        {change.measures.map(({ measure, shift, p_value }) => (
          <li key={measure} className="flex flex-wrap items-baseline justify-between gap-x-4">
            <span>{measureName(measure, messages)}</span>
            <span className="numeric text-right">
              <span
                className={shift.estimate > 0 ? "font-medium text-bad" : "font-medium text-good"}
              >
                {percent(shift.estimate, 1, true)}
              </span>
              {shift.interval?.low != null && shift.interval.high != null && (
                <span className="text-muted">
                  {" "}
                  ({percent(shift.interval.low, 1, true)} {words.to}{" "}
                  {percent(shift.interval.high, 1, true)})
                </span>
              )}
              <span className="block text-xs text-muted">
                {words.runsOf(shift.num_before, shift.num_after)},{" "}
                {words.p(String(Number(p_value.toPrecision(1))))}
              </span>
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Differences({ differences }: { differences: readonly Difference[] }) {
  const words = useMessages().performance.change;
  return (
    <table className="w-full border-collapse text-[13px]">
      <thead className="sr-only">
        <tr>
          <th scope="col">{words.name}</th>
          <th scope="col">{words.before}</th>
          <th scope="col">{words.after}</th>
        </tr>
      </thead>
      <tbody>
        {differences.map((each) => (
          <tr key={each.name} className="border-b border-line last:border-0">
            <th scope="row" className="py-1 pr-3 text-left align-top font-normal break-words">
              {each.name}
              {!each.isAtChange && (
                <span className="block text-xs text-muted">{words.elsewhere}</span>
              )}
            </th>
            <td className="numeric py-1 pr-2 text-right align-top break-words text-muted">
              {each.before}
            </td>
            <td className="numeric w-1/3 py-1 align-top font-medium break-words">
              <span aria-hidden className="mr-2 text-faint">
                →
              </span>
              {each.after}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
