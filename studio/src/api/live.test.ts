import { QueryClient, type QueryKey, QueryObserver } from "@tanstack/react-query";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Job } from "@/api/client";
import { applyJobs, applyNews, applyValue, keepAnswersTrue, onJobEnd, startOver } from "@/api/live";
import { keys } from "@/api/queries";

const job = (state: Job["state"], id = "a"): Job => ({ id, state, prompt: `a ${id}` }) as Job;
const news = (...data: Job[]) => ({ data, deleted: [] });

let client: QueryClient;
let ended: string[];
let stop: () => void;

beforeEach(() => {
  client = new QueryClient();
  ended = [];
  stop = onJobEnd(({ id, state }) => ended.push(`${id} ${state}`));
});
afterEach(() => {
  stop();
  vi.restoreAllMocks();
});

it("tells once of the end of a job that it saw running, on pages without the active jobs too", () => {
  applyNews(client, news(job("running")));
  expect(ended).toEqual([]);
  applyNews(client, news(job("succeeded"), job("failed", "b")));
  applyNews(client, news(job("succeeded"))); // a favourite now
  expect(ended).toEqual(["a succeeded"]);
});

it("tells of the end of a job of the list", () => {
  client.setQueryData(keys.active, [job("queued")]);
  applyNews(client, news(job("failed")));
  expect(ended).toEqual(["a failed"]);
});

it("is not misled by an answer that came later than the news", () => {
  applyNews(client, news(job("queued")));
  applyNews(client, news(job("succeeded")));
  applyJobs(client, news(job("queued")));
  applyNews(client, news(job("succeeded")));
  expect(ended).toEqual(["a succeeded"]);
});

it("forgets a job that was deleted", () => {
  applyNews(client, news(job("running")));
  applyNews(client, { data: [], deleted: ["a"] });
  applyNews(client, news(job("succeeded")));
  expect(ended).toEqual([]);
});

it("tells the others of an end though one of them fails", () => {
  const said = vi.spyOn(console, "error").mockImplementation(() => undefined);
  stop();
  const stops = [
    onJobEnd(() => {
      throw new TypeError("Illegal constructor");
    }),
    onJobEnd(({ id }) => ended.push(id)),
  ];
  client.setQueryData(keys.active, [job("running"), job("running", "b")]);
  applyNews(client, news(job("succeeded"), job("succeeded", "b")));
  for (const each of stops) each();
  expect(ended).toEqual(["a", "b"]);
  expect(client.getQueryData(keys.active)).toEqual([]);
  expect(said).toHaveBeenCalledTimes(2);
});

/** A job after `event_seq` events. */
const at = (event_seq: number, state: Job["state"], id = "a", changed_unix_s = event_seq): Job => ({
  ...job(state, id),
  event_seq,
  changed_unix_s,
});

const active = () => client.getQueryData<Job[]>(keys.active)?.map(({ id, state }) => [id, state]);

it("puts no older state back, whatever answer comes late", () => {
  client.setQueryData(keys.active, [at(1, "queued")]);
  client.setQueryData(keys.newest({}), [at(1, "queued")]);
  applyJobs(client, news({ ...at(1, "queued"), is_cancel_requested: true })); // a guess
  applyNews(client, news(at(3, "cancelled")));
  applyJobs(client, news(at(2, "running"))); // the answer to a cancel
  applyJobs(client, news(at(1, "queued"))); // the guess is taken back
  expect(active()).toEqual([]);
  expect(client.getQueryData<Job[]>(keys.newest({}))?.map(({ state }) => state)).toEqual([
    "cancelled",
  ]);
});

it("shows a guess, and takes it back while nothing newer is known", () => {
  const running = { ...at(2, "running"), is_cancel_requested: false };
  client.setQueryData(keys.active, [running]);
  applyJobs(client, news({ ...running, is_cancel_requested: true }));
  expect(client.getQueryData<Job[]>(keys.active)?.[0]?.is_cancel_requested).toBe(true);
  applyJobs(client, news(running));
  expect(client.getQueryData<Job[]>(keys.active)?.[0]?.is_cancel_requested).toBe(false);
});

it("tells a mark, which is no event, by its time", () => {
  client.setQueryData(keys.newest({}), [at(2, "succeeded", "a", 20)]);
  applyNews(client, news({ ...at(2, "succeeded", "a", 22), is_favourite: true }));
  applyJobs(client, news(at(2, "succeeded", "a", 21)));
  expect(client.getQueryData<Job[]>(keys.newest({}))?.[0]?.is_favourite).toBe(true);
});

describe("an answer on its way", () => {
  let stopKeeping: () => void;
  let answers: ((value: unknown) => void)[];
  let stopWatching: () => void;

  beforeEach(() => {
    stopKeeping = keepAnswersTrue(client);
    stopWatching = () => undefined;
    answers = [];
  });
  afterEach(() => {
    stopWatching();
    stopKeeping();
  });

  /** Show a query, as a view does. */
  const watch = (queryKey: QueryKey) => {
    const queryFn = () => new Promise((resolve) => answers.push(resolve));
    const observer = new QueryObserver(client, { queryKey, queryFn, staleTime: Infinity });
    stopWatching = observer.subscribe(() => undefined);
  };
  const come = async (index: number, value: unknown) => {
    await vi.waitFor(() => expect(answers.length).toBeGreaterThan(index));
    answers[index]?.(value);
    await vi.waitFor(() => expect(client.isFetching()).toBe(0));
  };

  it("does not undo news that came meanwhile", async () => {
    watch(keys.active);
    applyNews(client, news(at(3, "succeeded"), at(1, "queued", "c")));
    applyNews(client, { data: [], deleted: ["d"] });
    await come(0, [at(2, "running"), at(1, "queued", "b"), at(1, "queued", "d")]);
    expect(active()).toEqual([
      ["b", "queued"],
      ["c", "queued"],
    ]);
  });

  it("counts where it is newer than the news", async () => {
    watch(keys.newest({}));
    applyNews(client, news(at(1, "queued")));
    await come(0, [at(3, "succeeded")]);
    expect(client.getQueryData<Job[]>(keys.newest({}))?.[0]?.state).toBe("succeeded");
  });

  it("does not undo what the stream said of the queue", async () => {
    watch(keys.queue);
    applyValue(client, keys.queue, { num_workers: 2 });
    await come(0, { num_workers: 1 });
    expect(client.getQueryData(keys.queue)).toEqual({ num_workers: 2 });
  });

  it("does not undo news in a listing of pages", async () => {
    const pages = { pages: [{ data: [at(1, "queued")], next_cursor: null }], pageParams: [] };
    watch(keys.library({}));
    applyNews(client, news(at(3, "succeeded"), at(2, "running", "b")));
    await come(0, pages);
    expect(client.getQueryData(keys.library({}))).toMatchObject({
      pages: [{ data: [{ id: "b" }, { id: "a", state: "succeeded" }] }],
    });
  });

  it("is read again where the stream began anew meanwhile", async () => {
    watch(keys.active);
    startOver(client);
    answers[0]?.([at(1, "running")]);
    await come(1, []);
    expect(active()).toEqual([]);
    expect(answers).toHaveLength(2);
  });
});

it("goes on waiting to be read again where nobody looks", () => {
  client.setQueryData(keys.library({}), {
    pages: [{ data: [], next_cursor: null }],
    pageParams: [],
  });
  startOver(client);
  applyNews(client, news(at(1, "queued")));
  expect(client.getQueryState(keys.library({}))?.isInvalidated).toBe(true);
});

it("tells of jobs that ended while nothing was told, once", async () => {
  const newest = [at(9, "succeeded"), at(8, "running", "b"), at(9, "failed", "never-seen")];
  client.setQueryData(keys.active, [at(1, "queued"), at(1, "queued", "b")]);
  startOver(client, async () => newest);
  await vi.waitFor(() => expect(ended).toEqual(["a succeeded"]));
  applyNews(client, news(at(9, "succeeded")));
  applyNews(client, news(at(9, "succeeded", "b")));
  expect(ended).toEqual(["a succeeded", "b succeeded"]);
});
