import { describe, expect, it } from "vitest";
import { imageFast, sdxlFast, videoFast } from "@/views/create/fixtures";
import {
  changesOf,
  defaultNegative,
  fieldsOf,
  maxPromptLength,
  numericField,
  presetValues,
  snap,
} from "@/views/create/schema";

const [baseline, balanced] = videoFast.presets as [
  (typeof videoFast.presets)[0],
  (typeof videoFast.presets)[0],
];

describe("fieldsOf", () => {
  it("makes a field of each value but prompts and seed", () => {
    expect(fieldsOf(videoFast).map((field) => field.name)).toEqual([
      "width",
      "height",
      "num_inference_steps",
      "guidance_scale",
      "scheduler",
      "flow_shift",
      "num_frames",
      "fps",
    ]);
  });

  it("leaves out what a job type does not take", () => {
    expect(fieldsOf(imageFast).some((field) => field.name === "num_frames")).toBe(false);
    expect(fieldsOf(sdxlFast).some((field) => field.name === "num_images")).toBe(true);
  });

  it("reads bounds, step, unit and choices", () => {
    expect(numericField(videoFast, "num_frames")).toMatchObject({
      min: 5,
      max: 241,
      step: 4,
      unit: "frames",
      isWhole: true,
      isAdvanced: false,
    });
    expect(numericField(videoFast, "width")).toMatchObject({ step: 16, unit: "px" });
    expect(numericField(videoFast, "guidance_scale")).toMatchObject({
      step: 0.5,
      isWhole: false,
      isAdvanced: true,
      text: "How strongly.",
    });
    expect(fieldsOf(videoFast).find((field) => field.name === "scheduler")).toMatchObject({
      kind: "choice",
      options: ["unipc", "euler", "dpm++"],
    });
  });

  it("knows the longest prompt", () => {
    expect(maxPromptLength(videoFast)).toBe(4000);
  });
});

describe("snap", () => {
  const width = numericField(videoFast, "width");
  const frames = numericField(videoFast, "num_frames");
  const guidance = numericField(videoFast, "guidance_scale");
  if (!width || !frames || !guidance) throw new Error("the fixture lacks a field");

  it("takes the nearest multiple within the bounds", () => {
    expect([100, 105, 0, 9000].map((wish) => snap(width, wish))).toEqual([96, 112, 64, 2048]);
  });

  it("takes frame counts of 4n+1 only", () => {
    expect([5, 30, 31, 64, 80, 999].map((wish) => snap(frames, wish))).toEqual([
      5, 29, 33, 65, 81, 241,
    ]);
  });

  it("leaves other numbers as they are, within the bounds", () => {
    expect([6.25, 25].map((wish) => snap(guidance, wish))).toEqual([6.25, 20]);
  });
});

describe("changes", () => {
  it("are what differs from the preset", () => {
    const values = { num_inference_steps: 25, num_frames: 49, num_images: 6, width: 96 };
    expect(changesOf(videoFast, baseline, values)).toEqual({ num_frames: 49 });
    expect(changesOf(videoFast, balanced, values)).toEqual({
      num_inference_steps: 25,
      num_frames: 49,
    });
  });

  it("rest on what the preset sets", () => {
    expect(presetValues(videoFast, balanced)).toMatchObject({ num_inference_steps: 18, fps: 16 });
    expect(defaultNegative(baseline)).toBe("blurry, low quality, flicker");
  });
});
