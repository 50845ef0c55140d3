import { describe, expect, it } from "vitest";
import type { Catalogue, Job } from "@/api/client";
import { parametersOf, typesOf } from "@/views/grid/logic/parameters";
import { gridsIn, recentGrids } from "@/views/grid/logic/recent";

const steps = { type: "integer", minimum: 1, maximum: 100, default: 20 };
const frames = { type: "integer", minimum: 5, maximum: 241, "x-step": 4 };
const type = (name: string, media_type: string, properties: object, presets = ["baseline"]) => ({
  name,
  media_type,
  presets: presets.map((each) => ({ name: each, text: "", values: {} })),
  json_schema: { properties: { prompt: { type: "string" }, ...properties } },
});
const catalogue = {
  default_job_type: "video",
  job_types: [
    type("image", "image/png", { num_inference_steps: steps }),
    type("video", "video/mp4", { num_frames: frames, num_inference_steps: steps }, [
      "baseline",
      "quality",
    ]),
    type("video_high", "video/mp4", { num_inference_steps: steps }),
  ],
} as unknown as Catalogue;

const names = (types: Catalogue["job_types"]) =>
  parametersOf(catalogue, types).map(({ name }) => name);

describe("what may be varied", () => {
  it("is what the job type takes, with its presets and its kin", () => {
    const found = parametersOf(catalogue, typesOf(catalogue, [], "video"));
    expect(found.map(({ name }) => name)).toEqual([
      "num_inference_steps",
      "preset",
      "job_type",
      "prompt",
      "num_frames",
    ]);
    expect(found.find(({ name }) => name === "job_type")?.legal).toEqual({
      kind: "choices",
      values: ["video", "video_high"],
    });
  });

  it("is what all job types take where they are an axis", () => {
    const axes = [{ name: "job_type", values: ["video", "video_high"] }];
    expect(names(typesOf(catalogue, axes, "video"))).toEqual([
      "num_inference_steps",
      "job_type",
      "prompt",
    ]);
  });
});

describe("recent grids", () => {
  const job = (id: string, batch_id: string | null, value: number, at: number) =>
    ({
      id,
      batch_id,
      prompt: "a circle",
      created_unix_s: at,
      metadata: batch_id ? { grid: { num_inference_steps: value } } : {},
    }) as unknown as Job;

  it("are found among jobs, and known ones count first", () => {
    const found = gridsIn([job("1", "b1", 4, 10), job("2", "b1", 8, 11), job("3", null, 0, 12)]);
    expect(found).toEqual([
      {
        batch_id: "b1",
        at_ms: 10_000,
        prompt: "a circle",
        axes: [{ name: "num_inference_steps", values: [4, 8] }],
        num_jobs: 2,
      },
    ]);
    const known = [
      { batch_id: "b1", at_ms: 10_000, prompt: "mine", axes: [], num_jobs: 9 },
      { batch_id: "b0", at_ms: 20_000, prompt: "newer", axes: [], num_jobs: 2 },
    ];
    expect(recentGrids(known, found).map(({ prompt }) => prompt)).toEqual(["newer", "mine"]);
  });
});
