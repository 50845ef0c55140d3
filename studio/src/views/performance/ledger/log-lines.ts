// Lines of a job's stream as people read them. Pure, tested in log-lines.test.ts.
import type { Schemas } from "@/api/client";

export type JobEvent = Schemas["EventAnswer"];
export type Level = "info" | "warning" | "error";

export interface LogLine {
  seq: number;
  at: string;
  level: Level;
  kind: string;
  text: string;
}

const MOST_LINES = 2000;

function levelOf(event: JobEvent): Level {
  const told = event.data.level;
  if (told === "error" || told === "critical" || event.kind === "failed") return "error";
  if (told === "warning" || event.kind === "note" || event.kind === "requeued") return "warning";
  return "info";
}

const plain = (value: unknown): string =>
  typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);

interface Told {
  text?: unknown;
  message?: unknown;
  hint?: unknown;
}

const sentence = ({ text, message, hint }: Told): string | null => {
  if (typeof text === "string") return text;
  if (typeof message !== "string") return null;
  return typeof hint === "string" ? `${message} ${hint}` : message;
};

function textOf({ data, kind }: JobEvent): string {
  const said = sentence(data) ?? sentence((data.error ?? {}) as Told);
  if (said !== null) return said;
  if (kind === "phase" && typeof data.phase === "string")
    return data.num_units ? `${data.phase} (${plain(data.num_units)})` : data.phase;
  return Object.entries(data)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name} ${plain(value)}`)
    .join(", ");
}

export const lineOf = (event: JobEvent): LogLine => ({
  seq: event.seq,
  at: event.at,
  level: levelOf(event),
  kind: event.kind,
  text: textOf(event),
});

/** Append a line once, however often the stream tells it; the oldest fall off. */
export function appended(lines: readonly LogLine[], next: LogLine): readonly LogLine[] {
  const last = lines.at(-1);
  if (last && next.seq <= last.seq) return lines;
  return [...lines.slice(Math.max(0, lines.length + 1 - MOST_LINES)), next];
}

/** As a text file: one line each, with its moment. */
export const asText = (lines: readonly LogLine[]): string =>
  lines.map(({ at, level, kind, text }) => `${at} ${level} ${kind} ${text}`.trimEnd()).join("\n");
