import type { Job } from "@/api/client";
import { deliveredFacts, type Fact, settingFacts } from "@/media/facts";
import { useMessages } from "@/messages";

/** A job's settings and what was delivered. */
export function JobFacts({ job }: { job: Job }) {
  const messages = useMessages();
  const delivered = deliveredFacts(job, messages);
  return (
    <div className="flex flex-col gap-4">
      <FactList title={messages.media.settings} facts={settingFacts(job, messages)} />
      {delivered.length > 0 && <FactList title={messages.media.delivered} facts={delivered} />}
    </div>
  );
}

export function FactList({ title, facts }: { title: string; facts: readonly Fact[] }) {
  return (
    <section>
      <h3 className="mb-1 text-xs font-medium text-muted">{title}</h3>
      <dl className="text-[13px]">
        {facts.map((fact) => (
          <div
            key={fact.key}
            className="flex items-baseline justify-between gap-4 border-b border-line py-1.5 last:border-0"
          >
            <dt className="shrink-0 text-muted">{fact.name}</dt>
            <dd className="numeric min-w-0 text-right break-words">{fact.value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
