// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Player } from "@/views/compare/logic/player";

/** A video that has loaded, as far as the player looks at it. */
function video(duration: number): HTMLVideoElement {
  const element = document.createElement("video");
  let isPaused = true;
  Object.defineProperties(element, {
    readyState: { value: 4 },
    duration: { value: duration },
    seeking: { value: false },
    paused: { get: () => isPaused },
    currentTime: { value: 0, writable: true },
  });
  element.play = () => {
    isPaused = false;
    return Promise.resolve();
  };
  element.pause = () => {
    isPaused = true;
  };
  return element;
}

describe("the player", () => {
  const slow = video(1);
  const fast = video(2);
  let player = new Player();
  let letGo: (() => void)[] = [];

  beforeEach(() => {
    vi.useFakeTimers();
    player = new Player();
    letGo = [player.attach("slow", slow, 16), player.attach("fast", fast, 24)];
  });
  afterEach(() => {
    for (const each of letGo) each();
    vi.useRealTimers();
  });

  it("rests every video in the middle of its first frame, muted", () => {
    expect(slow.currentTime).toBeCloseTo(0.5 / 16);
    expect(fast.currentTime).toBeCloseTo(0.5 / 24);
    expect(slow.muted).toBe(true);
    expect(player.snapshot()).toMatchObject({ span_s: 2, isPlaying: false });
  });

  it("steps all by the shortest frame, one step at a time", () => {
    vi.advanceTimersByTime(300);
    player.step(1);
    player.step(1); // the first is not on screen yet
    expect(player.frameOf("fast")).toBe(1);
    vi.advanceTimersByTime(300);
    player.step(1);
    expect(player.frameOf("fast")).toBe(2);
    expect(player.frameOf("slow")).toBe(1);
  });

  it("plays all by one clock and rests them together", () => {
    player.play();
    vi.advanceTimersByTime(500);
    expect(slow.paused).toBe(false);
    expect(Math.abs(player.snapshot().at_s - 0.5)).toBeLessThan(0.05);
    expect(Math.abs(slow.currentTime - fast.currentTime)).toBeLessThan(1 / 16);
    player.pause();
    expect(slow.paused && fast.paused).toBe(true);
    expect(player.snapshot().isPlaying).toBe(false);
  });

  it("holds the shorter one at its end while the longer goes on", () => {
    player.seek(1.5);
    player.play();
    vi.advanceTimersByTime(50);
    expect(slow.paused).toBe(true);
    expect(slow.currentTime).toBeCloseTo(15.5 / 16);
    expect(fast.paused).toBe(false);
  });

  it("stops at the end where it does not repeat", () => {
    player.setLooped(false);
    player.seek(1.9);
    player.play();
    vi.advanceTimersByTime(400);
    expect(player.snapshot()).toMatchObject({ isPlaying: false, at_s: 2 });
  });

  it("tells who listens, until they stop", () => {
    const listener = vi.fn();
    const stop = player.subscribe(listener);
    player.setSpeed(0.5);
    expect(listener).toHaveBeenCalledTimes(1);
    stop();
    player.setSpeed(1);
    expect(listener).toHaveBeenCalledTimes(1);
  });
});
