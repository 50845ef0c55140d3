// New records and decisions make figures stale: which ones, and when they are read again.
import { type QueryClient, type QueryKey, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { onNews } from "@/api/live";
import { keys } from "@/api/queries";
import type { TrendFilter } from "@/views/performance/queries";

const LEAST_MS = 1500; // between two readings
const BUSY_MS = 500; // until a reading that is under way is looked at again

// What records don't change: other machines' history, what people decided, how a run goes on.
const UNTOUCHED = new Set(["histories", "decisions", "course"]);

export interface Measured {
  job_type: string;
}

/** Whether a new record changes what a query shows. */
export function isTouched(key: QueryKey, record: Measured): boolean {
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
  private waiting = new Map<string, Measured>();
  private isAll = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private lastMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly client: QueryClient,
    private readonly now: () => number = () => performance.now(),
  ) {}

  add(record: Measured): void {
    this.waiting.set(record.job_type, record);
    this.soon();
  }

  /** Something else than a record changed what figures say. */
  addAll(): void {
    this.isAll = true;
    this.soon();
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private soon(): void {
    this.later(Math.max(0, this.lastMs + LEAST_MS - this.now()));
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
    const { isAll } = this;
    this.waiting.clear();
    this.isAll = false;
    this.lastMs = this.now();
    void this.client.invalidateQueries(
      isAll
        ? { queryKey: keys.performance }
        : { predicate: (query) => records.some((record) => isTouched(query.queryKey, record)) },
    );
  }
}

/** Read figures again when the service says that they are new, once their window is seen. */
export function useLiveFigures(): void {
  const client = useQueryClient();
  useEffect(() => {
    const refresher = new Refresher(client);
    let isMissed = false;
    const stop = onNews("figures", ({ job_types, are_all }) => {
      if (document.hidden) isMissed = true;
      else if (are_all) refresher.addAll();
      else for (const job_type of job_types) refresher.add({ job_type });
    });
    const onVisibility = () => {
      if (document.hidden || !isMissed) return;
      isMissed = false;
      refresher.addAll();
    };
    document.addEventListener("visibilitychange", onVisibility);
    return () => {
      stop();
      refresher.stop();
      document.removeEventListener("visibilitychange", onVisibility);
    };
  }, [client]);
}
