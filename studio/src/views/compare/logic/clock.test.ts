import { describe, expect, it } from "vitest";
import {
  type Clip,
  type Clock,
  change,
  correction,
  frameAt,
  frameOf,
  hasEnded,
  pause,
  play,
  restOf,
  STILL,
  spanOf,
  stepped,
  timeAt,
} from "@/views/compare/logic/clock";

const slow: Clip = { duration_s: 2, fps: 16 };
const fast: Clip = { duration_s: 1, fps: 24 };
const running: Clock = { ...STILL, since_ms: 1000 };

describe("the shared clock", () => {
  it("stands until it is started, and starts where it stands", () => {
    expect(timeAt({ ...STILL, at_s: 0.5 }, 2, 99_000)).toBe(0.5);
    expect(timeAt(play({ ...STILL, at_s: 0.5 }, 2, 1000), 2, 1250)).toBe(0.75);
  });

  it("runs at its speed, wraps where it loops and stops at the end where not", () => {
    expect(timeAt({ ...running, speed: 0.25 }, 2, 3000)).toBe(0.5);
    expect(timeAt(running, 2, 3500)).toBe(0.5);
    const once = { ...running, isLooped: false };
    expect(timeAt(once, 2, 9000)).toBe(2);
    expect(hasEnded(once, 2, 9000)).toBe(true);
    expect(hasEnded(running, 2, 9000)).toBe(false);
  });

  it("keeps its time when paused, and when the speed changes", () => {
    const held = pause(running, 2, 1500);
    expect(held).toMatchObject({ at_s: 0.5, since_ms: null });
    const slowed = change(running, 2, 1500, { speed: 0.5 });
    expect(timeAt(slowed, 2, 1500)).toBe(0.5);
    expect(timeAt(slowed, 2, 2500)).toBe(1);
  });

  it("begins anew when started at the end", () => {
    expect(play({ ...STILL, at_s: 2 }, 2, 0).at_s).toBe(0);
  });

  it("never runs backwards if the page's time stutters", () => {
    expect(timeAt(running, 2, 900)).toBe(0);
  });
});

describe("frames", () => {
  it("take the longest span and the shortest frame", () => {
    expect(spanOf([slow, fast])).toBe(2);
    expect(spanOf([])).toBe(0);
    expect(frameOf([slow, fast])).toBeCloseTo(1 / 24);
  });

  it("step on the grid, from anywhere in a frame, and stay inside", () => {
    expect(stepped(0.02, 1, [slow])).toBeCloseTo(1 / 16);
    expect(stepped(3 / 16, -1, [slow])).toBeCloseTo(2 / 16);
    expect(stepped(0, -1, [slow])).toBe(0);
    expect(stepped(1.99, 5, [slow])).toBeCloseTo(31 / 16);
  });

  it("counts each of a long walk once, whatever floating point does", () => {
    let at = 0;
    for (let frame = 0; frame < 31; frame += 1) {
      expect(frameAt(slow, at)).toBe(frame);
      at = stepped(at, 1, [slow]);
    }
  });

  it("rest in their middle; a shorter clip rests at its last one", () => {
    expect(restOf(slow, 0)).toBeCloseTo(0.5 / 16);
    expect(restOf(fast, 1.7)).toBeCloseTo(23.5 / 24);
  });
});

describe("correction", () => {
  it("lets a video in step run", () => {
    expect(correction(slow, 0.501, 0.5, 1)).toEqual({ kind: "run", rate: 1 });
  });

  it("slows one that is a little ahead and hurries one that is behind", () => {
    const ahead = correction(slow, 0.54, 0.5, 0.5);
    const behind = correction(slow, 0.46, 0.5, 0.5);
    expect(ahead.kind === "run" && ahead.rate < 0.5 && ahead.rate >= 0.4).toBe(true);
    expect(behind.kind === "run" && behind.rate > 0.5 && behind.rate <= 0.6).toBe(true);
  });

  it("jumps when more than a frame is between them", () => {
    expect(correction(slow, 0.7, 0.5, 1)).toEqual({ kind: "seek", to_s: 0.5 });
  });

  it("holds a clip that is over while others go on", () => {
    expect(correction(fast, 0.9, 1.4, 1)).toEqual({ kind: "rest", to_s: restOf(fast, 1.4) });
  });

  it("brings a video that runs 5 % too fast into one frame, and keeps it there", () => {
    let current = 0.05;
    let rate = 1;
    for (let ms = 0; ms <= 1800; ms += 16) {
      const found = correction(slow, current, ms / 1000, 1);
      if (found.kind === "seek") current = found.to_s;
      if (found.kind === "run") rate = found.rate;
      if (ms > 500) expect(Math.abs(current - ms / 1000)).toBeLessThan(1 / 16);
      current += 0.016 * rate * 1.05;
    }
  });
});
