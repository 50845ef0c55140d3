import { describe, expect, it } from "vitest";
import { en } from "@/messages/en";
import { ledgerPath, trendPath } from "@/views/performance/sections";
import {
  exact,
  exactInterval,
  measureName,
  measureValue,
  settingsText,
  workloadName,
} from "@/views/performance/words";

describe("exact", () => {
  it("has three digits", () => {
    expect([exact(27.55), exact(6.723), exact(0.1257), exact(132.4)]).toEqual([
      "27.6 s",
      "6.72 s",
      "126 ms",
      "132 s",
    ]);
    expect(exact(-0.0123)).toBe("−12.3 ms");
  });

  it("goes to minutes where seconds say nothing", () => {
    expect(exact(660)).toBe("11 min 00 s");
    expect(exact(null)).toBe("–");
  });

  it("says a shared unit once", () => {
    expect(exactInterval(27.4, 27.71)).toBe("27.4–27.7 s");
    expect(exactInterval(0.9, 1.2)).toBe("900 ms – 1.20 s");
    expect(exactInterval(null, 1)).toBe("–");
  });
});

it("names measures and their values", () => {
  expect(measureName("total", en)).toBe("End to end");
  expect(measureName("denoise", en)).toBe("Denoise");
  expect(measureName("something_new", en)).toBe("something_new");
  expect(measureValue("peak_memory", 2 ** 30)).toBe("1.00 GiB");
});

it("tells groups apart", () => {
  expect(workloadName("video_fast", "baseline")).toBe("Video fast");
  expect(workloadName("video_fast", "balanced")).toBe("Video fast, balanced");
  expect(
    settingsText(
      { model: "wan", width: 480, height: 832, num_frames: 81, num_inference_steps: 25 },
      en,
    ),
  ).toBe("wan · 480 × 832 · 81 frames · 25 steps");
  expect(settingsText({}, en)).toBe("");
});

it("leads to a history and to a run", () => {
  expect(
    trendPath({ job_type: "video_fast", state: "cold", measure: "total", change: "c-1" }),
  ).toBe("/performance/trends?job_type=video_fast&state=cold&change=c-1");
  expect(ledgerPath("job_1")).toBe("/performance/jobs/job_1");
});
