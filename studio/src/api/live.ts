// One stream of server-sent events keeps every query of the page true.
import type { QueryClient } from "@tanstack/react-query";
import { create } from "zustand";
import type { Job, Queue, Schemas } from "@/api/client";
import { mergeActive, mergeJob, mergeNewest, mergePages, type Pages } from "@/api/merge";
import { keys, type LibraryFilter } from "@/api/queries";

export type Connection = "connecting" | "live" | "offline";

interface ConnectionState {
  connection: Connection;
  set(connection: Connection): void;
}

export const useConnection = create<ConnectionState>((set) => ({
  connection: "connecting",
  set: (connection) => set({ connection }),
}));

type JobsNews = { data: Job[]; deleted: string[] };
type EndListener = (job: Job) => void;
const endListeners = new Set<EndListener>();
/** Jobs that the stream told to wait or run: not every page holds the list of all of them. */
const followed = new Set<string>();

/** Call `listener` with each job that ends while the page is open; returns how to stop. */
export function onJobEnd(listener: EndListener): () => void {
  endListeners.add(listener);
  return () => endListeners.delete(listener);
}

/** News that only some views follow, by the stream's names. */
interface Followed {
  /** The stream begins anew: whatever happened meanwhile was not told. */
  hello: null;
  figures: Schemas["LiveFigures"];
  benchmark: Schemas["LiveBenchmark"];
}
type Name = keyof Followed;
const followers: { [N in Name]: Set<(news: Followed[N]) => void> } = {
  hello: new Set(),
  figures: new Set(),
  benchmark: new Set(),
};

/** Call `listener` with each piece of news of that name; returns how to stop. */
export function onNews<N extends Name>(name: N, listener: (news: Followed[N]) => void): () => void {
  followers[name].add(listener);
  return () => followers[name].delete(listener);
}

export function tellNews<N extends Name>(name: N, news: Followed[N]): void {
  for (const listener of followers[name]) listener(news);
}

export function applyJobs(client: QueryClient, news: JobsNews): void {
  const before = client.getQueryData<Job[]>(keys.active) ?? [];
  const wasActive = new Set(before.map((job) => job.id));
  client.setQueryData<Job[]>(keys.active, (known) =>
    known ? mergeActive(known, news.data, news.deleted) : known,
  );
  for (const job of news.data) {
    client.setQueryData<Job>(keys.job(job.id), (known) => (known ? mergeJob(known, job) : known));
    const hasEnded = job.state !== "queued" && job.state !== "running";
    if (hasEnded) void client.invalidateQueries({ queryKey: keys.job(job.id) });
    if (hasEnded && (followed.delete(job.id) || wasActive.has(job.id)))
      for (const listener of endListeners) listener(job);
  }
  for (const id of news.deleted) client.removeQueries({ queryKey: keys.job(id) });
  for (const [key, pages] of client.getQueriesData<Pages>({ queryKey: keys.libraries })) {
    const filter = key[2] as LibraryFilter;
    if (pages) client.setQueryData(key, mergePages(pages, filter, news.data, news.deleted));
  }
  for (const [key, jobs] of client.getQueriesData<Job[]>({ queryKey: keys.newests })) {
    const filter = key[2] as LibraryFilter;
    if (jobs) client.setQueryData(key, mergeNewest(jobs, filter, news.data, news.deleted));
  }
}

/** Apply what the stream tells, which comes in order, and remember whose end is to be told. */
export function applyNews(client: QueryClient, news: JobsNews): void {
  applyJobs(client, news);
  for (const job of news.data)
    if (job.state === "queued" || job.state === "running") followed.add(job.id);
  for (const id of news.deleted) followed.delete(id);
}

const RETRY_MS = [500, 1000, 2000, 4000, 8000];

/** Follow the service until the returned function is called. */
export function follow(client: QueryClient, url = "/api/v1/events"): () => void {
  const { set } = useConnection.getState();
  let source: EventSource | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let failures = 0;
  let isOver = false;

  const later = () => {
    source?.close();
    if (isOver) return;
    const wait = RETRY_MS[Math.min(failures, RETRY_MS.length - 1)] ?? 8000;
    failures += 1;
    if (failures > 1) set("offline");
    clearTimeout(timer);
    timer = setTimeout(open, wait);
  };
  const read = <T>(event: Event): T => JSON.parse((event as MessageEvent<string>).data) as T;
  const open = () => {
    source = new EventSource(url);
    source.addEventListener("hello", () => {
      failures = 0;
      set("live");
      followed.clear();
      void client.invalidateQueries(); // whatever happened meanwhile
      tellNews("hello", null);
    });
    source.addEventListener("jobs", (event) => applyNews(client, read<JobsNews>(event)));
    source.addEventListener("queue", (event) =>
      client.setQueryData<Queue>(keys.queue, read<Queue>(event)),
    );
    source.addEventListener("workers", (event) =>
      client.setQueryData(keys.workers, read<Schemas["WorkerList"]>(event)),
    );
    source.addEventListener("figures", (event) => tellNews("figures", read(event)));
    source.addEventListener("benchmark", (event) => tellNews("benchmark", read(event)));
    source.onerror = later;
  };
  const now = () => {
    if (useConnection.getState().connection === "live") return;
    failures = 0;
    clearTimeout(timer);
    source?.close();
    open();
  };
  const lost = () => set("offline");

  set("connecting");
  open();
  window.addEventListener("online", now);
  window.addEventListener("offline", lost);
  window.addEventListener("ourvidz:reconnect", now);
  return () => {
    isOver = true;
    clearTimeout(timer);
    source?.close();
    window.removeEventListener("online", now);
    window.removeEventListener("offline", lost);
    window.removeEventListener("ourvidz:reconnect", now);
  };
}

export function reconnect(): void {
  window.dispatchEvent(new Event("ourvidz:reconnect"));
}
