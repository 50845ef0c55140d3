import { describe, expect, it } from "vitest";
import type { Job } from "@/api/client";
import {
  byPlace,
  matches,
  mergeActive,
  mergeJob,
  mergeNewest,
  mergePages,
  type Pages,
} from "@/api/merge";
import { MOST_NEWEST } from "@/api/queries";

function job(id: string, change: Partial<Job> = {}): Job {
  return {
    id,
    state: "queued",
    priority: 0,
    position: 1,
    prompt: `a ${id}`,
    job_type: "video_fast",
    is_favourite: false,
    ...change,
  } as Job;
}

function pages(...ids: string[][]): Pages {
  return {
    pages: ids.map((each) => ({ data: each.map((id) => job(id)), next_cursor: null })),
    pageParams: [],
  };
}

const idsOf = (merged: Pages): string[][] =>
  merged.pages.map((page) => page.data.map(({ id }) => id));

describe("mergeActive", () => {
  it("adds, replaces and takes out", () => {
    const known = [job("a"), job("b"), job("c")];
    const news = [job("b", { state: "running" }), job("c", { state: "succeeded" }), job("d")];
    const merged = mergeActive(known, news, ["a"]);
    expect(merged.map(({ id, state }) => [id, state])).toEqual([
      ["b", "running"],
      ["d", "queued"],
    ]);
  });
});

describe("mergeJob", () => {
  const known = job("a", {
    queue_position: 3,
    attempts: [],
    expected: { total_s: 9 } as Job["expected"],
  });

  it("keeps what only a full reading tells while it is true", () => {
    const merged = mergeJob(known, job("a", { priority: 5 }));
    expect(merged).toMatchObject({ priority: 5, queue_position: 3, expected: { total_s: 9 } });
  });

  it("drops the place in the queue once it runs, and the expectation once it has ended", () => {
    expect(mergeJob(known, job("a", { state: "running" })).queue_position).toBeNull();
    expect(mergeJob(known, job("a", { state: "failed" })).expected).toBeNull();
  });
});

describe("mergePages", () => {
  it("puts new jobs first, newest first, and changes known ones in place", () => {
    const merged = mergePages(
      pages(["c", "b"], ["a"]),
      {},
      [job("d"), job("a", { state: "failed" }), job("e")],
      [],
    );
    expect(idsOf(merged)).toEqual([["e", "d", "c", "b"], ["a"]]);
    expect(merged.pages[1]?.data[0]?.state).toBe("failed");
  });

  it("takes out what no longer matches and what was deleted", () => {
    const merged = mergePages(
      pages(["c", "b"], ["a"]),
      { state: ["queued"] },
      [job("b", { state: "running" })],
      ["a"],
    );
    expect(idsOf(merged)).toEqual([["c"], []]);
  });

  it("does not bring in older jobs, which stand on pages that are not read yet", () => {
    const before = pages(["c", "b"]);
    for (const page of before.pages) page.next_cursor = "more";
    expect(mergePages(before, {}, [job("a")], [])).toBe(before);
  });

  it("puts a job that begins to match late where it belongs", () => {
    const merged = mergePages(pages(["d", "b"]), {}, [job("c"), job("a")], []);
    expect(idsOf(merged)).toEqual([["d", "c", "b", "a"]]);
    const oldest = mergePages(pages(["a", "c"]), { is_oldest_first: true }, [job("b")], []);
    expect(idsOf(oldest)).toEqual([["a", "b", "c"]]);
  });

  it("returns the same pages when nothing concerns them", () => {
    const before = pages(["c"]);
    expect(mergePages(before, { job_type: ["sdxl_image_fast"] }, [job("d")], ["x"])).toBe(before);
  });
});

describe("matches", () => {
  it("narrows by every field", () => {
    const one = job("a", { prompt: "A Red circle", media_type: "video/mp4", batch_id: "b1" });
    expect(matches({ text: "red", media_type: "video/mp4", batch_id: "b1" }, one)).toBe(true);
    expect(matches({ text: "blue" }, one)).toBe(false);
    expect(matches({ is_favourite: true }, one)).toBe(false);
    expect(matches({ job_type: [] }, one)).toBe(true);
  });
});

describe("byPlace", () => {
  it("orders as the service claims: band, place, id", () => {
    const jobs = [
      job("b"),
      job("a"),
      job("c", { position: 0 }),
      job("d", { priority: 9, position: 7 }),
    ];
    expect(jobs.sort(byPlace).map(({ id }) => id)).toEqual(["d", "c", "a", "b"]);
  });
});

describe("mergeNewest", () => {
  const numbered = (number: number): Job => job(`job_${String(number).padStart(4, "0")}`);

  it("holds no more, however many come", () => {
    let known: Job[] = [];
    for (let number = 0; number < 3 * MOST_NEWEST; number++)
      known = mergeNewest(known, {}, [numbered(number)], []);
    expect(known).toHaveLength(MOST_NEWEST);
    expect(known[0]?.id).toBe(numbered(3 * MOST_NEWEST - 1).id);
  });

  it("leaves what is older than the last of a full list, and what does not match", () => {
    const known = Array.from({ length: MOST_NEWEST }, (_, index) => numbered(900 - index));
    expect(mergeNewest(known, {}, [numbered(1)], [])).toBe(known);
    const failed = { state: ["failed" as const] };
    expect(mergeNewest([], failed, [numbered(1)], [])).toEqual([]);
  });

  it("changes what it holds and drops what was deleted", () => {
    const known = [numbered(2), numbered(1)];
    const merged = mergeNewest(known, {}, [{ ...numbered(1), is_favourite: true }], ["job_0002"]);
    expect(merged).toEqual([{ ...numbered(1), is_favourite: true }]);
  });
});
