import { describe, expect, it } from "vitest";
import type { Job } from "@/api/client";
import { canVote, pairsToVote, settingRows, wordDiff } from "@/views/compare/logic/settings";
import { phasesOf, relationOf, sumOf } from "@/views/compare/logic/times";

const fact = (key: string, value: string) => ({ key, name: key.toUpperCase(), value });

const job = (over: Partial<Job>): Job =>
  ({
    id: "job_1",
    prompt: "a circle",
    media_type: "image/png",
    assets: [{ id: "asset_1" }],
    phases_s: {},
    ledger: null,
    ...over,
  }) as Job;

describe("the table of settings", () => {
  const rows = settingRows([
    [fact("steps", "4"), fact("seed", "1")],
    [fact("steps", "8"), fact("seed", "1"), fact("fps", "16")],
    [fact("steps", "4"), fact("seed", "1")],
  ]);

  it("has a row for each setting of any job, in order", () => {
    expect(rows.map((row) => row.key)).toEqual(["steps", "seed", "fps"]);
    expect(rows[0]).toMatchObject({ name: "STEPS", values: ["4", "8", "4"] });
  });

  it("marks what is not as the first job's, also what only one of them has", () => {
    expect(rows[0]).toMatchObject({ isOther: [false, true, false], isDifferent: true });
    expect(rows[1]?.isDifferent).toBe(false);
    expect(rows[2]).toMatchObject({ values: [null, "16", null], isOther: [false, true, false] });
  });
});

describe("the difference of prompts", () => {
  it("is told in words", () => {
    expect(wordDiff("a red circle moving left", "a blue circle moving slowly left")).toEqual([
      { kind: "same", text: "a" },
      { kind: "removed", text: "red" },
      { kind: "added", text: "blue" },
      { kind: "same", text: "circle moving" },
      { kind: "added", text: "slowly" },
      { kind: "same", text: "left" },
    ]);
  });

  it("takes empty texts, and gives up gracefully on huge ones", () => {
    expect(wordDiff("", "a")).toEqual([{ kind: "added", text: "a" }]);
    expect(wordDiff("", "")).toEqual([]);
    const long = "word ".repeat(2000);
    expect(wordDiff(long, long).length).toBe(2);
  });
});

describe("pairs for a blind vote", () => {
  it("are of one prompt and one kind of file, and have files", () => {
    const first = job({ id: "job_1" });
    expect(canVote(first, job({ id: "job_2" }))).toBe(true);
    expect(canVote(first, first)).toBe(false);
    expect(canVote(first, job({ id: "job_2", prompt: "a square" }))).toBe(false);
    expect(canVote(first, job({ id: "job_2", media_type: "video/mp4" }))).toBe(false);
    expect(canVote(first, job({ id: "job_2", assets: [] }))).toBe(false);
    expect(pairsToVote([first, job({ id: "job_2" }), job({ id: "job_3" })])).toHaveLength(3);
  });
});

describe("times", () => {
  const done = job({
    ledger: {
      phases_s: { queue_wait: 5, "load.unet": 2, encode: 0.5, denoise: 3, decode: 0.5 },
      unattributed_s: 0.1,
    } as unknown as Job["ledger"],
  });

  it("leave out what the settings did not cause", () => {
    expect(sumOf(phasesOf(done, true))).toBe(4);
    expect(sumOf(phasesOf(done, false))).toBeCloseTo(11.1);
  });

  it("are told in proportion", () => {
    expect(relationOf(2, 4)).toEqual({ kind: "faster", factor: 2 });
    expect(relationOf(4, 2)).toEqual({ kind: "slower", factor: 2 });
    expect(relationOf(2.05, 2)).toEqual({ kind: "same" });
    expect(relationOf(0, 2)).toBeNull();
  });
});
