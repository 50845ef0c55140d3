import { describe, expect, it } from "vitest";
import type { Job } from "@/api/client";
import { failureClasses, remarks } from "./classes";

const failed = (id: string, code: string | null, at: string, job_type = "video_fast"): Job =>
  ({
    id,
    job_type,
    created_at: at,
    finished_at: at,
    error: code === null ? null : { code, message: `of ${id}`, param: null, hint: "do this" },
  }) as Job;

describe("failureClasses", () => {
  it("puts the commonest first, with the newest as its example", () => {
    const classes = failureClasses([
      failed("c", "out_of_memory", "2026-11-03"),
      failed("b", "crashed", "2026-11-02", "image_fast"),
      failed("d", "crashed", "2026-11-04"),
      failed("a", "crashed", "2026-11-01"),
    ]);
    expect(classes.map(({ code, n, share }) => [code, n, share])).toEqual([
      ["crashed", 3, 0.75],
      ["out_of_memory", 1, 0.25],
    ]);
    expect(classes[0]).toMatchObject({
      last_at: "2026-11-04",
      message: "of d",
      hint: "do this",
      job_types: ["image_fast", "video_fast"],
    });
    expect(classes[0]?.example.id).toBe("d");
  });

  it("names what has no code", () => {
    expect(failureClasses([failed("a", null, "2026-11-01")])[0]?.code).toBe("unknown");
    expect(failureClasses([])).toEqual([]);
  });
});

describe("remarks", () => {
  const done = (id: string, verdict: string | null, codes: string[]): Job =>
    ({
      id,
      job_type: "image_fast",
      created_at: id,
      finished_at: id,
      enhancement: verdict === null ? null : { verdict },
      adjustments: codes.map((code) => ({ code, text: `${code} of ${id}` })),
    }) as Job;

  it("counts refusals and adjustments apart, and usable ones not at all", () => {
    const found = remarks([
      done("1", "usable", []),
      done("2", "refused", ["frames_adjusted"]),
      done("3", null, ["frames_adjusted"]),
    ]);
    expect(found.map(({ kind, code, n }) => [kind, code, n])).toEqual([
      ["adjustment", "frames_adjusted", 2],
      ["enhancement", "refused", 1],
    ]);
    expect(found[0]?.text).toBe("frames_adjusted of 3");
  });
});
