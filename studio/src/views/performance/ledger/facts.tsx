import type { ReactNode } from "react";
import { bytes, duration, number, percent, title } from "@/lib/format";
import { useMessages } from "@/messages";
import { type Fact, flattened } from "./phases";
import type { JobRecord } from "./queries";

/** A number under the name it has in the record, with the unit that the name ends with. */
export function measured(name: string, value: number): string {
  if (name === "bytes" || name.endsWith("_bytes")) return bytes(value);
  if (name.endsWith("_mhz")) return `${number(value)} MHz`;
  if (name.endsWith("_w")) return `${number(value)} W`;
  if (name.endsWith("_j")) return `${number(value)} J`;
  if (name.endsWith("_c")) return `${number(value)} °C`;
  if (name.endsWith("_s")) return duration(value);
  if (name.endsWith("_share") || /^utilisation/.test(name) || name.startsWith("throttled."))
    return percent(value, 1);
  return number(value, Number.isInteger(value) ? 0 : 2);
}

const UNIT = /_(bytes|mhz|w|j|c|s)$/;

export function FactList({ facts }: { facts: readonly { name: string; value: ReactNode }[] }) {
  return (
    <dl className="text-[13px]">
      {facts.map(({ name, value }) => (
        <div
          key={name}
          className="flex items-baseline justify-between gap-4 border-b border-line py-1.5 last:border-0"
        >
          <dt className="shrink-0 text-muted">{name}</dt>
          <dd className="numeric min-w-0 text-right break-words">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Numbers({ values }: { values: Record<string, number> }) {
  return (
    <FactList
      facts={Object.entries(values).map(([name, value]) => ({
        name: title(name.replace(UNIT, "").replaceAll(".", " ")),
        value: measured(name, value),
      }))}
    />
  );
}

/** Names as people know them, where the catalogue of words has them. */
export function Settings({ record }: { record: JobRecord }) {
  const messages = useMessages();
  const words = messages.parameters as Record<string, string>;
  const texts = messages.performance.panels.ledger;
  const told = Object.entries({ ...record.workload, ...record.settings }).filter(
    ([, value]) => value !== null,
  );
  const facts = flattened(
    Object.fromEntries(
      told.map(([name, value]) => [
        name,
        typeof value === "boolean" ? (value ? texts.yes : texts.no) : value,
      ]),
    ),
  );
  return (
    <FactList
      facts={facts.map((fact) => ({ ...fact, name: words[fact.path] ?? title(fact.path) }))}
    />
  );
}

/** What the delivered files say of themselves. */
export function Delivered({ facts }: { facts: Record<string, unknown> }) {
  return (
    <FactList
      facts={Object.entries(facts).map(([name, value]) => ({
        name: title(name.replace(UNIT, "")),
        value: typeof value === "number" ? measured(name, value) : String(value ?? "–"),
      }))}
    />
  );
}

/** The fingerprint, part by part. */
export function Environment({ values }: { values: Record<string, unknown> }) {
  const texts = useMessages().performance.panels.ledger;
  const parts = Object.entries(values).filter(
    (entry): entry is [string, Record<string, unknown>] =>
      typeof entry[1] === "object" && entry[1] !== null,
  );
  if (parts.length === 0) return <p className="text-[13px] text-muted">{texts.noEnvironment}</p>;
  return (
    <div className="grid grid-cols-1 gap-x-8 gap-y-5 md:grid-cols-2 xl:grid-cols-4">
      {parts.map(([part, content]) => (
        <div key={part} className="min-w-0">
          <h3 className="mb-1 text-xs font-medium text-muted">
            {texts.parts[part as keyof typeof texts.parts] ?? title(part)}
          </h3>
          <FactList facts={flattened(content).map(named)} />
        </div>
      ))}
    </div>
  );
}

const named = ({ path, value }: Fact) => ({ name: path.replaceAll("_", " "), value });
