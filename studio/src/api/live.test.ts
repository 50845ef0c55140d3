import { QueryClient } from "@tanstack/react-query";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Job } from "@/api/client";
import { applyJobs, applyNews, onJobEnd } from "@/api/live";
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
afterEach(() => stop());

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
