import { Link } from "wouter";
import { ago, fullMoment, number, percent, title } from "@/lib/format";
import { useMessages } from "@/messages";
import type { FailureClass } from "./classes";

/** Each cause with its share, what the newest said, and what to do. */
export function FailureList({ classes }: { classes: readonly FailureClass[] }) {
  return (
    <ul className="flex flex-col">
      {classes.map((each) => (
        <FailureItem key={each.code} failure={each} />
      ))}
    </ul>
  );
}

function FailureItem({ failure }: { failure: FailureClass }) {
  const messages = useMessages();
  const texts = messages.performance.panels.failures;
  const name = texts.codes[failure.code as keyof typeof texts.codes] ?? title(failure.code);
  return (
    <li className="border-b border-line py-3 first:pt-0 last:border-0 last:pb-0">
      <div className="flex flex-wrap items-baseline justify-between gap-x-4">
        <p className="text-sm font-medium">
          {name} <code className="ml-1 text-xs font-normal text-muted">{failure.code}</code>
        </p>
        <p className="numeric text-[13px] text-muted">
          <span className="font-medium text-ink">{number(failure.n)}</span> ·{" "}
          {percent(failure.share)}
        </p>
      </div>
      <div aria-hidden className="mt-1.5 h-1 overflow-hidden rounded-full bg-sunken">
        <div className="h-full bg-bad" style={{ width: `${100 * failure.share}%` }} />
      </div>
      <p className="mt-2 text-[13px] break-words">{failure.message}</p>
      {failure.hint && <p className="text-[13px] text-muted">{failure.hint}</p>}
      <p className="mt-1 text-xs text-muted">
        <span title={fullMoment(failure.last_at)}>{texts.lastSeen(ago(failure.last_at))}</span>
        {" · "}
        {failure.job_types.map(title).join(", ")}
        {" · "}
        <ExampleLink id={failure.example.id} />
      </p>
    </li>
  );
}

export function ExampleLink({ id }: { id: string }) {
  const texts = useMessages().performance.panels.failures;
  return (
    <Link
      href={`/performance/jobs/${id}`}
      className="inline-flex min-h-6 items-center text-accent-ink underline underline-offset-2"
      aria-label={texts.exampleOf(id)}
    >
      {texts.example}
    </Link>
  );
}
