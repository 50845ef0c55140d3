// One stream of server-sent events keeps every query of the page true.
import type { Query, QueryClient, QueryKey } from "@tanstack/react-query";
import { create } from "zustand";
import { answer, api, type Job, type Schemas } from "@/api/client";
import { type JobsNews, memoryOf } from "@/api/memory";
import { mergeActive, mergeJob, mergeNewest, mergePages, type Pages } from "@/api/merge";
import { keys, type LibraryFilter } from "@/api/queries";
import { watchAway } from "@/lib/away";
import { takeWatch } from "@/lib/watch";
import { usePreferences } from "@/stores/preferences";

export type Connection = "connecting" | "live" | "offline";

interface ConnectionState {
  connection: Connection;
  set(connection: Connection): void;
}

export const useConnection = create<ConnectionState>((set) => ({
  connection: "connecting",
  set: (connection) => set({ connection }),
}));

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

/** Put news of jobs into whatever the page holds, and tell of ends. What is older is left out. */
export function applyJobs(client: QueryClient, told: JobsNews): void {
  const before = client.getQueryData<Job[]>(keys.active) ?? [];
  const wasActive = new Set(before.map((job) => job.id));
  const news = memoryOf(client).take(told, client.isFetching() > 0);
  // What waits to be read again must go on waiting for it.
  for (const query of client.getQueryCache().findAll({ queryKey: keys.jobs })) {
    const isToBeRead = query.state.isInvalidated && !query.isActive();
    mergeInto(client, query.queryKey, news);
    if (isToBeRead) query.invalidate(); // which new data would have ended
  }
  const ended = news.data.filter((job) => !isOpen(job));
  for (const { id } of ended) void client.invalidateQueries({ queryKey: keys.job(id) });
  for (const id of news.deleted) client.removeQueries({ queryKey: keys.job(id) });
  for (const job of ended) if (followed.delete(job.id) || wasActive.has(job.id)) tellEnd(job);
}

const isOpen = (job: Job): boolean => job.state === "queued" || job.state === "running";

function tellEnd(job: Job): void {
  for (const listener of endListeners) {
    try {
      listener(job);
    } catch (error) {
      console.error(error); // the others want to know it too
    }
  }
}

function mergeInto(client: QueryClient, key: QueryKey, { data, deleted }: JobsNews): void {
  if (data.length === 0 && deleted.length === 0) return;
  const put = <T>(merge: (known: T) => T) =>
    client.setQueryData<T>(key, (known) => (known === undefined ? known : merge(known)));
  const filter = key[2] as LibraryFilter;
  if (key[1] === keys.active[1]) put<Job[]>((jobs) => mergeActive(jobs, data, deleted));
  else if (key[1] === keys.newests[1])
    put<Job[]>((jobs) => mergeNewest(jobs, filter, data, deleted));
  else if (key[1] === keys.libraries[1])
    put<Pages>((pages) => mergePages(pages, filter, data, deleted));
  else if (key[1] === keys.one[1]) {
    const job = data.find(({ id }) => id === key[2]);
    if (job) put<Job>((known) => mergeJob(known, job));
  }
}

/** Apply what the stream tells, which comes in order, and remember whose end is to be told. */
export function applyNews(client: QueryClient, news: JobsNews): void {
  applyJobs(client, news);
  for (const job of news.data) if (isOpen(job)) followed.add(job.id);
  for (const id of news.deleted) followed.delete(id);
}

/** Parts of the cache that the stream keeps true. */
const KEPT: readonly unknown[] = [keys.jobs[0], keys.queue[0], keys.workers[0]];

/** Put what was told while it was asked for on top of every answer; returns how to stop. */
export function keepAnswersTrue(client: QueryClient): () => void {
  const memory = memoryOf(client);
  const asked = new WeakMap<Query, number>();
  return client.getQueryCache().subscribe((event) => {
    if (event.type !== "updated" || !KEPT.includes(event.query.queryKey[0])) return;
    const { query, action } = event;
    if (action.type === "fetch") asked.set(query, memory.now());
    if (action.type !== "success" || action.manual) return;
    const number = asked.get(query) ?? 0;
    const news = memory.since(number);
    const value = memory.valueSince(query.queryKey, number);
    if (value !== undefined) client.setQueryData(query.queryKey, value);
    if (news) mergeInto(client, query.queryKey, news);
    else
      queueMicrotask(
        () => void client.invalidateQueries({ queryKey: query.queryKey, exact: true }),
      );
  });
}

/** Apply what the stream tells of a small thing: the whole of it. */
export function applyValue(client: QueryClient, key: QueryKey, value: object): void {
  memoryOf(client).takeValue(key, value);
  client.setQueryData(key, value);
}

const MOST_MISSED = 200;

/** Read everything again, and tell of the jobs that ended while nothing was told. */
export function startOver(client: QueryClient, read = readNewest): void {
  const active = client.getQueryData<Job[]>(keys.active) ?? [];
  for (const { id } of active) followed.add(id);
  const missed = new Set(followed);
  memoryOf(client).startOver();
  void client.invalidateQueries();
  tellNews("hello", null);
  if (missed.size === 0) return;
  read()
    .then((newest) => tellMissed(client, missed, newest))
    .catch(() => undefined); // the next hello asks again
}

async function readNewest(): Promise<Job[]> {
  const query = { limit: MOST_MISSED };
  return (await answer(api.GET("/api/v1/jobs", { params: { query } }))).data;
}

function tellMissed(client: QueryClient, missed: ReadonlySet<string>, newest: Job[]): void {
  const found = newest.filter(({ id }) => missed.has(id));
  applyJobs(client, { data: found, deleted: [] });
  const open = new Set(found.filter(isOpen).map(({ id }) => id));
  for (const id of missed) if (!open.has(id)) followed.delete(id);
}

const RETRY_MS = [500, 1000, 2000, 4000, 8000];

/** Follow the service until the returned function is called. */
export function follow(client: QueryClient, url = "/api/v1/events"): () => void {
  const { set } = useConnection.getState();
  let source: EventSource | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let failures = 0;
  let isOver = false;
  let isAsleep = false;
  let giveUpWatch = () => {};

  const later = () => {
    source?.close();
    if (isOver || isAsleep) return;
    const wait = RETRY_MS[Math.min(failures, RETRY_MS.length - 1)] ?? 8000;
    failures += 1;
    if (failures > 1) set("offline");
    // A key that is valid no more closes the stream too.
    if (failures === 2) void client.invalidateQueries({ queryKey: keys.session });
    clearTimeout(timer);
    timer = setTimeout(open, wait);
  };
  const read = <T>(event: Event): T => JSON.parse((event as MessageEvent<string>).data) as T;
  const open = () => {
    source?.close();
    source = new EventSource(url);
    source.addEventListener("hello", () => {
      failures = 0;
      set("live");
      startOver(client);
    });
    source.addEventListener("jobs", (event) => applyNews(client, read<JobsNews>(event)));
    source.addEventListener("queue", (event) => applyValue(client, keys.queue, read(event)));
    source.addEventListener("workers", (event) => applyValue(client, keys.workers, read(event)));
    source.addEventListener("figures", (event) => tellNews("figures", read(event)));
    source.addEventListener("benchmark", (event) => tellNews("benchmark", read(event)));
    source.onerror = later;
  };
  const now = () => {
    if (isAsleep || useConnection.getState().connection === "live") return;
    failures = 0;
    clearTimeout(timer);
    open();
  };
  // A browser opens six connections to a service, and pages that nobody sees would hold them all.
  const sleep = () => {
    isAsleep = true;
    clearTimeout(timer);
    source?.close();
    set("connecting");
  };
  const wake = () => {
    if (!isAsleep) return;
    isAsleep = false;
    now();
  };
  const onAway = (isAway: boolean) => {
    giveUpWatch();
    giveUpWatch = () => {};
    if (!isAway) wake();
    else if (mayNotify()) giveUpWatch = takeWatch({ onHeld: wake, onWaiting: sleep });
    else sleep();
  };
  const lost = () => set("offline");

  const stopKeeping = keepAnswersTrue(client);
  set("connecting");
  const stopWatching = watchAway(onAway);
  if (!isAsleep) open();
  window.addEventListener("online", now);
  window.addEventListener("offline", lost);
  window.addEventListener("ourvidz:reconnect", now);
  return () => {
    isOver = true;
    stopKeeping();
    stopWatching();
    giveUpWatch();
    clearTimeout(timer);
    source?.close();
    window.removeEventListener("online", now);
    window.removeEventListener("offline", lost);
    window.removeEventListener("ourvidz:reconnect", now);
  };
}

function mayNotify(): boolean {
  const { hasNotifications } = usePreferences.getState();
  return hasNotifications && "Notification" in window && Notification.permission === "granted";
}

export function reconnect(): void {
  window.dispatchEvent(new Event("ourvidz:reconnect"));
}
