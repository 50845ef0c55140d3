/** What a request may set besides its texts, seed and job type, in the order of the catalogue. */
export const SETTINGS = [
  "width",
  "height",
  "num_frames",
  "fps",
  "num_images",
  "num_inference_steps",
  "guidance_scale",
  "scheduler",
  "flow_shift",
  "fidelity",
] as const;
