// New records and decisions make figures stale: which ones, and when they are read again.
import { type QueryClient, type QueryKey, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { answer, api, type Schemas } from "@/api/client";
import { keys } from "@/api/queries";
import type { RecordBrief, TrendFilter } from "@/views/performance/queries";

type PerformanceEvent = Schemas["PerformanceEvent"];

const LEAST_MS = 1500; // between two readings
const BUSY_MS = 500; // until a reading that is under way is looked at again
const RETRY_MS = 5000;
const DECISIONS_MS = 5000;

// What records don't change: other machines' history, what people decided, how a run goes on.
const UNTOUCHED = new Set(["histories", "decisions", "course"]);

/** Whether a new record changes what a query shows. */
export function isTouched(
  key: QueryKey,
  record: Pick<RecordBrief, "job_type" | "job_id">,
): boolean {
  if (key[0] !== keys.performance[0]) return false;
  const [, kind, about] = key;
  if (typeof kind === "string" && UNTOUCHED.has(kind)) return false;
  if (kind === "trends") {
    const wanted = (about as TrendFilter | undefined)?.job_type;
    return wanted == null || wanted === record.job_type;
  }
  return true;
}

/** Collects records and reads again at most every `LEAST_MS`, never while figures are being read. */
export class Refresher {
  private waiting = new Map<string, Pick<RecordBrief, "job_type" | "job_id">>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private lastMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly client: QueryClient,
    private readonly now: () => number = () => performance.now(),
  ) {}

  add(record: Pick<RecordBrief, "job_type" | "job_id">): void {
    this.waiting.set(record.job_type, record);
    this.later(Math.max(0, this.lastMs + LEAST_MS - this.now()));
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private later(ms: number): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.flush();
    }, ms);
  }

  private flush(): void {
    if (this.client.isFetching({ queryKey: keys.performance, type: "active" }) > 0) {
      this.later(BUSY_MS);
      return;
    }
    const records = [...this.waiting.values()];
    this.waiting.clear();
    this.lastMs = this.now();
    void this.client.invalidateQueries({
      predicate: (query) => records.some((record) => isTouched(query.queryKey, record)),
    });
  }
}

/** Follow new records while the dashboard is open and its window is seen. */
export function useLiveFigures(): void {
  const client = useQueryClient();
  useEffect(() => {
    const refresher = new Refresher(client);
    let source: EventSource | null = null;
    let retry: ReturnType<typeof setTimeout> | undefined;
    let wasHidden = false;
    const close = () => {
      clearTimeout(retry);
      source?.close();
      source = null;
    };
    const open = () => {
      if (source || document.hidden) return;
      source = new EventSource("/api/v1/performance/events");
      source.addEventListener("record", (event) => {
        const news = JSON.parse((event as MessageEvent<string>).data) as PerformanceEvent;
        refresher.add(news.record);
      });
      source.onerror = () => {
        if (source?.readyState !== EventSource.CLOSED) return; // the browser tries again itself
        close();
        retry = setTimeout(open, RETRY_MS);
      };
    };
    // A browser has few connections to one service: windows behind others give theirs back.
    const onVisibility = () => {
      if (document.hidden) {
        wasHidden = true;
        close();
      } else {
        open();
        if (wasHidden) void client.invalidateQueries({ queryKey: keys.performance });
        wasHidden = false;
      }
    };
    open();
    document.addEventListener("visibilitychange", onVisibility);
    return () => {
      close();
      refresher.stop();
      document.removeEventListener("visibilitychange", onVisibility);
    };
  }, [client]);
  useDecisionsInStep();
}

/** The stream tells of records alone: what others decide is looked for. */
function useDecisionsInStep(): void {
  const client = useQueryClient();
  useEffect(() => {
    let newest: string | null | undefined;
    const look = async () => {
      if (document.hidden) return;
      try {
        const page = await answer(
          api.GET("/api/v1/performance/decisions", { params: { query: { limit: 1 } } }),
        );
        const found = page.data[0]?.id ?? null;
        if (newest !== undefined && found !== newest)
          void client.invalidateQueries({ queryKey: keys.performance });
        newest = found;
      } catch {
        // Whoever shows figures says that the service can't be reached.
      }
    };
    void look();
    const timer = setInterval(look, DECISIONS_MS);
    return () => clearInterval(timer);
  }, [client]);
}
