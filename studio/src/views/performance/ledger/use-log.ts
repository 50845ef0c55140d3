import { useEffect, useState } from "react";
import { answer, api, type Schemas } from "@/api/client";
import { watchAway } from "@/lib/away";
import { appended, type JobEvent, type LogLine, lineOf } from "./log-lines";

export type LogKind = "logs" | "events";
export type LogState = "connecting" | "open" | "over";

// What a stream of all events tells; `progress` comes every second and says nothing to keep.
const KINDS: Record<LogKind, readonly string[]> = {
  logs: ["log", "note"],
  events: [
    "submitted",
    "claimed",
    "phase",
    "note",
    "enhanced",
    "log",
    "requeued",
    "moved",
    "cancel_requested",
    "succeeded",
    "failed",
    "cancelled",
  ],
};

/** Everything that was told of a job that has ended. */
async function readAll(jobId: string, kind: LogKind, signal: AbortSignal): Promise<LogLine[]> {
  const lines: LogLine[] = [];
  let after = 0;
  for (;;) {
    const options = { params: { path: { job_id: jobId }, query: { after } }, signal };
    // The same address streams where no `after` is told, so that its type is of both.
    const page = (await answer<unknown>(
      kind === "logs"
        ? api.GET("/api/v1/jobs/{job_id}/logs", options)
        : api.GET("/api/v1/jobs/{job_id}/events", options),
    )) as Schemas["EventPage"];
    lines.push(...page.data.filter((event) => KINDS[kind].includes(event.kind)).map(lineOf));
    if (page.is_finished || page.last_seq <= after) return lines;
    after = page.last_seq;
  }
}

/** Follow what is told of a job as it is written; of one that has ended, read it once. */
export function useLog(
  jobId: string,
  kind: LogKind,
  isOver: boolean,
): { lines: readonly LogLine[]; state: LogState } {
  const [lines, setLines] = useState<readonly LogLine[]>([]);
  const [state, setState] = useState<LogState>("connecting");
  useEffect(() => {
    setState("connecting");
    if (isOver) {
      const abort = new AbortController();
      readAll(jobId, kind, abort.signal)
        .then((found) => {
          setLines(found);
          setState("over");
        })
        .catch(() => !abort.signal.aborted && setState("over"));
      return () => abort.abort();
    }
    setLines([]);
    const read = (message: Event) => {
      const event = JSON.parse((message as MessageEvent<string>).data) as JobEvent;
      setLines((known) => appended(known, lineOf(event)));
    };
    let source: EventSource | null = null;
    const follow = (isAway: boolean) => {
      source?.close();
      if (isAway) return;
      source = new EventSource(`/api/v1/jobs/${encodeURIComponent(jobId)}/${kind}`);
      for (const name of KINDS[kind]) source.addEventListener(name, read);
      source.onopen = () => setState("open");
    };
    const stop = watchAway(follow); // what it tells again on return is known
    if (document.visibilityState === "visible") follow(false);
    return () => {
      stop();
      source?.close();
    };
  }, [jobId, kind, isOver]);
  return { lines, state };
}
