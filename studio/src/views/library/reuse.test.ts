import { describe, expect, it } from "vitest";
import type { Catalogue, Job } from "@/api/client";
import { type Draft, EMPTY, takenBy } from "@/stores/draft";
import { reused } from "@/views/library/reuse";

const JOB = {
  prompt: "a red circle",
  negative_prompt: "blur",
  job_type: "sdxl_image_fast",
  preset: "baseline",
  seed: 7,
  media_type: "image/png",
  width: 64,
  num_frames: 1,
} as Job;
const DRAFT: Draft = { ...EMPTY, prompt: "mine", job_type: "video_fast", values: { width: 96 } };

describe("reused", () => {
  it("takes one thing and leaves the rest of the form", () => {
    expect(reused(DRAFT, JOB, "prompt")).toEqual({ ...DRAFT, prompt: "a red circle" });
    expect(reused(DRAFT, JOB, "seed")).toEqual({ ...DRAFT, seed: 7 });
  });

  it("takes everything, without a video's settings for an image", () => {
    expect(reused(DRAFT, JOB, "all")).toEqual({
      prompt: "a red circle",
      negative_prompt: "blur",
      job_type: "sdxl_image_fast",
      preset: "baseline",
      seed: 7,
      values: { width: 64 },
    });
  });

  it("takes only what the job type takes", () => {
    const catalogue = {
      job_types: [{ name: "sdxl_image_fast", json_schema: { properties: { num_images: {} } } }],
    } as unknown as Catalogue;
    const taken = takenBy(catalogue, JOB);
    expect(reused(DRAFT, { ...JOB, num_images: 1 }, "all", taken).values).toEqual({
      num_images: 1,
    });
    expect(takenBy(catalogue, { ...JOB, job_type: "other" })).toBeUndefined();
  });
});
