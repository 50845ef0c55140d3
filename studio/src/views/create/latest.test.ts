import { describe, expect, it } from "vitest";
import type { Job } from "@/api/client";
import { isSameTile, latestOf, MOST_SHOWN } from "@/views/create/latest";

const job = (id: string, change: Partial<Job> = {}): Job =>
  ({
    id,
    kind: "generate",
    state: "succeeded",
    created_unix_s: Number(id),
    assets: [],
    ...change,
  }) as unknown as Job;
const ids = (jobs: Job[]): string[] => jobs.map((each) => each.id);

describe("latestOf", () => {
  it("goes from the newest, with what waits or runs here in front", () => {
    const jobs = [
      job("1", { state: "queued" }),
      job("2"),
      job("3", { state: "running" }),
      job("4"),
    ];
    expect(ids(latestOf(jobs, ["1", "2"]))).toEqual(["1", "4", "3", "2"]);
  });

  it("leaves out enhancements, and cancelled jobs of others", () => {
    const jobs = [
      job("1", { kind: "enhance" }),
      job("2", { state: "cancelled" }),
      job("3", { state: "cancelled" }),
    ];
    expect(ids(latestOf(jobs, ["3"]))).toEqual(["3"]);
  });

  it("shows each job once, and not too many", () => {
    const jobs = Array.from({ length: 40 }, (_, index) => job(String(index % 30)));
    expect(latestOf(jobs, [])).toHaveLength(MOST_SHOWN);
    expect(new Set(ids(latestOf(jobs, []))).size).toBe(MOST_SHOWN);
  });
});

describe("isSameTile", () => {
  const until = (ms: number): Job["assets"] =>
    [{ url: "a", url_expires_at: new Date(Date.now() + ms).toISOString() }] as Job["assets"];

  it("keeps results while their addresses work", () => {
    expect(isSameTile(job("1", { assets: until(9e6) }), job("1", { assets: until(9e6) }))).toBe(
      true,
    );
    expect(isSameTile(job("1", { assets: until(1000) }), job("1", { assets: until(9e6) }))).toBe(
      false,
    );
  });

  it("follows what is thought of it", () => {
    const rated = (stars: number, ...tags: string[]): Job =>
      job("1", { rating: { stars, tags } as Job["rating"] });
    expect(isSameTile(rated(2), rated(2))).toBe(true);
    expect(isSameTile(rated(2), rated(3))).toBe(false);
    expect(isSameTile(rated(2), rated(2, "text"))).toBe(false);
    expect(isSameTile(job("1"), rated(2))).toBe(false);
  });

  it("follows jobs that are not over", () => {
    expect(isSameTile(job("1", { state: "running" }), job("1", { state: "running" }))).toBe(false);
    expect(isSameTile(job("1"), job("1", { state: "failed" }))).toBe(false);
  });
});
