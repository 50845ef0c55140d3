import { describe, expect, it } from "vitest";
import type { Job } from "@/api/client";
import {
  axesOf,
  cellKey,
  cellsOf,
  layoutOf,
  mergedAxes,
  notedPoint,
  tallyOf,
} from "@/views/grid/logic/cells";
import { extremeOf, scaleOf, shareOf, workOf } from "@/views/grid/logic/scale";

const job = (id: string, over: Partial<Job> = {}): Job =>
  ({
    id,
    state: "succeeded",
    prompt: "a circle",
    scheduler: "euler",
    num_inference_steps: 4,
    guidance_scale: 6,
    seed: 1,
    predicted_s: 3,
    progress: null,
    ledger: null,
    phases_s: {},
    metadata: {},
    ...over,
  }) as unknown as Job;

const noted = (id: string, steps: number, scheduler: string, more: object = {}) =>
  job(id, { metadata: { grid: { num_inference_steps: steps, scheduler, ...more } } });

describe("axes", () => {
  it("are what the jobs were noted with, numbers in order", () => {
    const jobs = [noted("1", 15, "unipc"), noted("2", 4, "euler"), noted("3", 15, "euler")];
    expect(axesOf(jobs)).toEqual([
      { name: "num_inference_steps", values: [4, 15] },
      { name: "scheduler", values: ["unipc", "euler"] },
    ]);
  });

  it("are what differs where nothing was noted", () => {
    const jobs = [job("1"), job("2", { guidance_scale: 3 }), job("3", { guidance_scale: 9 })];
    expect(axesOf(jobs)).toEqual([{ name: "guidance_scale", values: [3, 6, 9] }]);
    expect(axesOf([job("1")])).toEqual([]);
  });

  it("keep the order in which they were made, with values that came later", () => {
    const kept = [{ name: "scheduler", values: ["euler", "dpm++"] }];
    const found = [
      { name: "seed", values: [1] },
      { name: "scheduler", values: ["unipc", "euler"] },
    ];
    expect(mergedAxes(kept, found)).toEqual([
      { name: "scheduler", values: ["euler", "dpm++", "unipc"] },
      { name: "seed", values: [1] },
    ]);
    expect(mergedAxes(null, found)).toEqual(found);
  });

  it("ignore notes of another kind", () => {
    expect(notedPoint(job("1", { metadata: { grid: "mine" } }))).toBeNull();
    expect(notedPoint(job("1", { metadata: { grid: [1] } }))).toBeNull();
  });
});

describe("cells", () => {
  const axes = [
    { name: "num_inference_steps", values: [4, 8] },
    { name: "scheduler", values: ["euler", "unipc"] },
  ];

  it("hold the job of their values, whatever the order of names", () => {
    const cells = cellsOf([noted("1", 4, "unipc"), noted("2", 8, "euler")], axes);
    expect(cells.get(cellKey({ scheduler: "unipc", num_inference_steps: 4 }))?.id).toBe("1");
    expect(cells.get(cellKey({ scheduler: "euler", num_inference_steps: 4 }))).toBeUndefined();
  });

  it("map by settings where nothing was noted, and take the newest of equals", () => {
    const cells = cellsOf([job("1"), job("3"), job("2")], axes);
    expect(cells.get(cellKey({ num_inference_steps: 4, scheduler: "euler" }))?.id).toBe("3");
  });

  it("lie in pages beyond two axes", () => {
    const three = [...axes, { name: "seed", values: [1, 2] }];
    const layout = layoutOf(three, true);
    expect([layout.columns?.name, layout.rows?.name]).toEqual(["scheduler", "num_inference_steps"]);
    expect(layout.pages).toEqual([{ seed: 1 }, { seed: 2 }]);
    expect(layoutOf(axes.slice(0, 1), false)).toMatchObject({ rows: null, pages: [{}] });
  });
});

describe("the tally", () => {
  it("counts states and what is left", () => {
    const tally = tallyOf([
      job("1", { started_unix_s: 10, finished_unix_s: 16 }),
      job("2", { state: "queued" }),
      job("3", { state: "running", progress: { eta_s: 1.5 } as Job["progress"] }),
      job("4", { state: "failed" }),
    ]);
    expect(tallyOf([job("2", { state: "queued" })]).left_s).toBeNull();
    expect(tally).toMatchObject({ total: 4, done: 1, waiting: 1, running: 1, failed: 1 });
    expect(tally.left_s).toBe(7.5); // twice as long as predicted, as the first one
  });
});

describe("the colour of times", () => {
  const timed = (seconds: number) =>
    job("1", {
      ledger: { phases_s: { queue_wait: 9, denoise: seconds } } as unknown as Job["ledger"],
    });

  it("is of the work alone, by ratio", () => {
    const times = [1, 4, 16].map((seconds) => workOf(timed(seconds)));
    const scale = scaleOf(times);
    expect(scale).toEqual({ low_s: 1, high_s: 16 });
    if (scale) {
      expect(shareOf(4, scale)).toBeCloseTo(0.5);
      expect(extremeOf(1, scale)).toBe("fastest");
      expect(extremeOf(16, scale)).toBe("slowest");
      expect(extremeOf(4, scale)).toBeNull();
    }
  });

  it("needs two times that differ", () => {
    expect(scaleOf([1, null])).toBeNull();
    expect(extremeOf(1, { low_s: 1, high_s: 1 })).toBeNull();
    expect(workOf(job("1", { state: "failed" }))).toBeNull();
  });
});
