import { describe, expect, it } from "vitest";
import { ApiError, type Schemas } from "@/api/client";
import { EMPTY, MAX_SEED } from "@/stores/draft";
import {
  catalogue,
  imageEnhanced,
  imageFast,
  sdxlFast,
  videoEnhanced,
  videoFast,
  videoHigh,
  videoHighEnhanced,
} from "@/views/create/fixtures";
import { framesWithin, secondsOf, usualLengths } from "@/views/create/frames";
import { enhancerOf, groupOf, inGroup, plainOf } from "@/views/create/kinds";
import { problemOf } from "@/views/create/problems";
import { bodyOf, chosenOf, copiesOf, draftOfSettings, retyped } from "@/views/create/request";
import { numericField } from "@/views/create/schema";
import { parseSeed, randomSeed, stepSeed } from "@/views/create/seeds";
import { sizeOptions } from "@/views/create/sizes";
import { measuredSpeed, starsOf } from "@/views/create/speeds";

const frames = numericField(videoFast, "num_frames");
const width = numericField(videoFast, "width");
const height = numericField(videoFast, "height");
if (!frames || !width || !height) throw new Error("the fixture lacks a field");
const preset = videoFast.presets[0];
if (!preset) throw new Error("the fixture lacks a preset");

describe("frames", () => {
  it("are told in seconds", () => {
    expect(secondsOf(81, 16)).toBeCloseTo(5.06, 2);
    expect(secondsOf(81, 0)).toBe(0);
  });

  it("fit a length with a legal count", () => {
    expect([2, 3, 5].map((seconds) => framesWithin(frames, 16, seconds))).toEqual([33, 49, 81]);
    expect(framesWithin(frames, 16, 0)).toBe(5);
    expect(framesWithin(frames, 16, 1000)).toBe(241);
  });

  it("offer only lengths that can be made", () => {
    expect(usualLengths(frames, 16).map((each) => each.seconds)).toEqual([1, 2, 3, 5, 8, 10, 15]);
    expect(usualLengths(frames, 60).at(-1)).toEqual({ seconds: 3, numFrames: 181 });
  });
});

describe("sizes", () => {
  const options = sizeOptions({ width: 96, height: 160 }, width, height);

  it("are legal, about as large as the preset, and different", () => {
    for (const option of options) {
      expect(option.width % 16).toBe(0);
      expect(option.height % 16).toBe(0);
      expect((option.width * option.height) / (96 * 160)).toBeGreaterThan(0.7);
      expect((option.width * option.height) / (96 * 160)).toBeLessThan(1.35);
    }
    expect(new Set(options.map((each) => `${each.width}x${each.height}`)).size).toBe(
      options.length,
    );
  });

  it("go from portrait to landscape and hold the preset's own", () => {
    const ratios = options.map((each) => each.width / each.height);
    expect(ratios).toEqual(ratios.toSorted((a, b) => a - b));
    expect(options).toContainEqual({ width: 96, height: 160, shape: null });
  });

  it("give the preset its shape's name where it has one", () => {
    const square = sizeOptions({ width: 1024, height: 1024 }, width, height);
    expect(square.filter((each) => each.shape === "1:1")).toEqual([
      { width: 1024, height: 1024, shape: "1:1" },
    ]);
  });
});

describe("seeds", () => {
  it("step on and wrap around", () => {
    expect(stepSeed(7)).toBe(8);
    expect(stepSeed(MAX_SEED)).toBe(0);
    expect(stepSeed(0, -1)).toBe(MAX_SEED);
  });

  it("are read from text only where they are legal", () => {
    expect(["42", " 7 ", "", "-1", "1.5", "4294967295", "4294967296"].map(parseSeed)).toEqual([
      42,
      7,
      null,
      null,
      null,
      MAX_SEED,
      null,
    ]);
  });

  it("are drawn from all there are", () => {
    const seed = randomSeed();
    expect(parseSeed(String(seed))).toBe(seed);
  });
});

describe("kinds", () => {
  it("group job types", () => {
    expect([videoFast, imageFast, videoEnhanced].map(groupOf)).toEqual([
      "video",
      "image",
      "enhanced",
    ]);
    expect(inGroup(catalogue.job_types, "image")).toEqual([sdxlFast, imageFast]);
  });

  it("find the enhancer that fits", () => {
    const find = (type: typeof videoFast) => enhancerOf(catalogue.job_types, type)?.name;
    expect(find(videoFast)).toBe("video7b_fast_enhanced");
    expect(find(videoHigh)).toBe("video7b_high_enhanced");
    expect(find(sdxlFast)).toBe("image7b_fast_enhanced");
    expect(find(imageEnhanced)).toBe("image7b_fast_enhanced");
    expect(enhancerOf([videoFast], videoFast)).toBeNull();
  });

  it("find the job without an enhancer", () => {
    expect(plainOf(catalogue.job_types, videoHighEnhanced)?.name).toBe("video_high");
    expect(plainOf(catalogue.job_types, imageEnhanced)?.name).toBe("image_fast");
  });
});

describe("requests", () => {
  const chosen = { type: videoFast, preset };

  it("hold what differs, and nothing that the job type does not take", () => {
    const values = { num_inference_steps: 4, num_images: 6, num_frames: 33 };
    expect(bodyOf({ ...EMPTY, prompt: " a circle ", values }, chosen)).toEqual({
      prompt: "a circle",
      job_type: "video_fast",
      preset: "baseline",
      num_inference_steps: 4,
    });
  });

  it("say the negative prompt and the seed only where they are set", () => {
    const draft = { ...EMPTY, prompt: "x", negative_prompt: "", seed: 0 };
    expect(bodyOf(draft, chosen)).toMatchObject({ negative_prompt: "", seed: 0 });
    expect(bodyOf({ ...EMPTY, prompt: "x" }, chosen)).not.toHaveProperty("negative_prompt");
  });

  it("name a job type that is there", () => {
    expect(chosenOf(catalogue, { ...EMPTY, job_type: "gone", preset: "gone" })).toEqual(chosen);
    expect(chosenOf({ ...catalogue, job_types: [] }, EMPTY)).toBeNull();
  });

  it("give copies seeds that don't meet", () => {
    const body = { prompt: "x", seed: 10 };
    expect(copiesOf(body, 3, 1).map((each) => each.seed)).toEqual([10, 11, 12]);
    expect(copiesOf(body, 2, 6).map((each) => each.seed)).toEqual([10, 16]);
    expect(copiesOf({ prompt: "x" }, 2, 1)).toEqual([{ prompt: "x" }, { prompt: "x" }]);
  });

  it("keep what still applies when the job type changes", () => {
    const draft = { ...EMPTY, preset: "balanced", values: { num_frames: 49, width: 128 } };
    expect(retyped(draft, videoFast, videoHigh)).toMatchObject({
      job_type: "video_high",
      preset: "baseline",
      values: { num_frames: 49, width: 128 },
    });
    expect(retyped(draft, videoFast, imageFast).values).toEqual({ width: 128 });
    expect(retyped(draft, videoFast, sdxlFast).values).toEqual({});
  });

  it("come back from settings of a file", () => {
    const draft = { ...EMPTY, prompt: "mine", seed: 3 };
    const settings = { prompt: "theirs", job_type: "image_fast", seed: 9, width: 128, odd: null };
    expect(draftOfSettings(settings, draft)).toEqual({
      prompt: "theirs",
      negative_prompt: null,
      job_type: "image_fast",
      preset: "baseline",
      seed: 9,
      values: { width: 128 },
    });
    expect(draftOfSettings({}, draft)).toMatchObject({ prompt: "mine", seed: null });
  });
});

describe("problems", () => {
  const refused = (param: string | null, message: string, hint: string | null = null) =>
    problemOf(new ApiError(422, "invalid_request", message, param, hint));

  it("stand at their field, with what to do", () => {
    expect(
      refused("num_frames", "num_frames 30 is not legal.", "The nearest are 29 and 33."),
    ).toEqual({
      param: "num_frames",
      text: "num_frames 30 is not legal. The nearest are 29 and 33.",
    });
    expect(refused("width", "width: Input should be a multiple of 16.")?.text).toBe(
      "Input should be a multiple of 16.",
    );
    expect(refused("jobs.0.seed", "No.")?.param).toBe("seed");
    const long = "The prompt has 90 tokens; this model reads at most 77.";
    expect(refused("prompt", long)).toEqual({ param: "prompt", text: long });
    expect(refused("job_type", "There is no such job type.")?.param).toBeNull();
  });

  it("are not made of what passes", () => {
    expect(problemOf(new ApiError(503, "busy", "Later."))).toBeNull();
    expect(problemOf(new ApiError(403, "forbidden", "Not you.", "Origin"))).toBeNull();
    expect(problemOf(new Error("?"))).toBeNull();
    expect(problemOf(null)).toBeNull();
  });
});

describe("speeds", () => {
  type Row = Schemas["MatrixRowAnswer"];
  const settings = {
    width: 96,
    height: 160,
    num_inference_steps: 25,
    guidance_scale: 6.5,
    scheduler: "unipc",
    flow_shift: 5,
    num_frames: 33,
  };
  const row = (change: Partial<Row>): Row =>
    ({
      job_type: "video_fast",
      preset: "baseline",
      state: "warm",
      real_s: 12,
      n: 3,
      settings,
      ...change,
    }) as Row;

  it("are of the warmest runs of just these settings", () => {
    const rows = [
      row({ state: "cold", real_s: 30, n: 9 }),
      row({}),
      row({ n: 1, real_s: 11 }),
      row({ settings: { ...settings, num_inference_steps: 4 }, state: "resident", real_s: 2 }),
    ];
    expect(measuredSpeed(rows, videoFast, preset)).toEqual({ seconds: 12, n: 3, state: "warm" });
  });

  it("are unknown where nothing ran", () => {
    expect(measuredSpeed([row({ real_s: null, n: 0 })], videoFast, preset)).toBeNull();
    expect(measuredSpeed([row({ preset: "balanced" })], videoFast, preset)).toBeNull();
  });

  it("stand beside the mean of the stars", () => {
    const group = (preset: string, stars: Record<string, number>) =>
      ({ group: { job_type: "video_fast", preset }, stars }) as unknown as Schemas["RatingGroup"];
    const groups = [group("baseline", { "5": 1, "4": 1 }), group("balanced", { "3": 2 })];
    expect(starsOf(groups, "video_fast")).toEqual({ mean: 3.75, n: 4 });
    expect(starsOf(groups, "video_fast", "baseline")).toEqual({ mean: 4.5, n: 2 });
    expect(starsOf(groups, "image_fast")).toBeNull();
  });
});
