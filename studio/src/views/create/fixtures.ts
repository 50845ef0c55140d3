// Job types as the pocket profile's catalogue describes them; for tests.
import type { Catalogue, JobType } from "@/api/client";

const NEGATIVE = "blurry, low quality, flicker";
const SHARED = {
  prompt: { type: "string", minLength: 1, maxLength: 4000 },
  negative_prompt: { type: "string", maxLength: 4000, default: NEGATIVE },
  seed: { type: "integer", minimum: 0, maximum: 4294967295 },
  width: { type: "integer", minimum: 64, maximum: 2048, multipleOf: 16, "x-unit": "px" },
  height: { type: "integer", minimum: 64, maximum: 2048, multipleOf: 16, "x-unit": "px" },
  num_inference_steps: { type: "integer", minimum: 1, maximum: 100, "x-unit": "steps" },
  guidance_scale: { type: "number", minimum: 0, maximum: 20, description: "How strongly." },
  scheduler: { type: "string", enum: ["unipc", "euler", "dpm++"] },
};
const WAN = { flow_shift: { type: "number", minimum: 0.1, maximum: 20 } };
const VIDEO = {
  num_frames: { type: "integer", minimum: 5, maximum: 241, "x-step": 4, "x-unit": "frames" },
  fps: { type: "integer", minimum: 1, maximum: 60, default: 16 },
};

const BASE = {
  negative_prompt: NEGATIVE,
  width: 96,
  height: 160,
  num_inference_steps: 25,
  guidance_scale: 6.5,
  scheduler: "unipc",
};
const CLIP = { ...BASE, flow_shift: 5, num_frames: 33, fps: 16 };

function jobType(
  name: string,
  text: string,
  family: string,
  properties: Record<string, unknown>,
  values: Record<string, unknown>,
): JobType {
  const isVideo = name.startsWith("video");
  return {
    name,
    text,
    media_type: isVideo ? "video/mp4" : "image/png",
    model: "pocket",
    family,
    is_enhanced: name.endsWith("_enhanced"),
    presets: [{ name: "baseline", text: "The job type as it is", values }],
    json_schema: { type: "object", properties, required: ["prompt"] },
  };
}

const videoProperties = { ...SHARED, ...WAN, ...VIDEO };

export const videoFast: JobType = {
  ...jobType("video_fast", "A five-second video, 25 steps", "wan", videoProperties, CLIP),
  presets: [
    { name: "baseline", text: "The job type as it is", values: CLIP },
    {
      name: "balanced",
      text: "18 Euler steps",
      values: { ...CLIP, num_inference_steps: 18, scheduler: "euler", num_frames: 25 },
    },
  ],
};
export const videoHigh = jobType("video_high", "50 steps", "wan", videoProperties, {
  ...CLIP,
  num_inference_steps: 50,
});
export const imageFast = jobType("image_fast", "One image", "wan", { ...SHARED, ...WAN }, BASE);
export const sdxlFast = jobType(
  "sdxl_image_fast",
  "Six images",
  "sdxl",
  { ...SHARED, num_images: { type: "integer", minimum: 1, maximum: 16, "x-unit": "images" } },
  { ...BASE, width: 128, height: 128, scheduler: "euler", num_images: 6 },
);
export const videoEnhanced = jobType(
  "video7b_fast_enhanced",
  "Enhance, then video",
  "wan",
  videoProperties,
  CLIP,
);
export const videoHighEnhanced = jobType(
  "video7b_high_enhanced",
  "Enhance, then video_high",
  "wan",
  videoProperties,
  { ...CLIP, num_inference_steps: 50 },
);
export const imageEnhanced = jobType(
  "image7b_fast_enhanced",
  "Enhance, then image",
  "wan",
  { ...SHARED, ...WAN },
  BASE,
);

export const catalogue: Catalogue = {
  profile: "pocket",
  default_job_type: "video_fast",
  job_types: [
    sdxlFast,
    imageFast,
    videoFast,
    videoHigh,
    imageEnhanced,
    videoEnhanced,
    videoHighEnhanced,
  ],
  parameters: [],
};
