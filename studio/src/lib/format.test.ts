import { describe, expect, it } from "vitest";
import { ago, bytes, duration, interval, percent, title } from "@/lib/format";

describe("duration", () => {
  it.each([
    [0.004, "4 ms"],
    [0.0994, "99 ms"],
    [0.0996, "0.10 s"],
    [0.994, "0.99 s"],
    [3.14, "3.1 s"],
    [9.96, "10 s"],
    [59.4, "59 s"],
    [59.6, "1 min 00 s"],
    [125, "2 min 05 s"],
    [4320, "1 h 12 min"],
    [86400 * 3, "3.0 d"],
    [-2, "−2.0 s"],
    [null, "–"],
    [Number.NaN, "–"],
  ])("%s is %s", (seconds, text) => expect(duration(seconds)).toBe(text));
});

describe("interval", () => {
  it("says a shared unit once", () => expect(interval(3.1, 4)).toBe("3.1–4.0 s"));
  it("keeps both units where they differ", () =>
    expect(interval(50, 70)).toBe("50 s – 1 min 10 s"));
  it("is one value where both look the same", () => expect(interval(3.11, 3.12)).toBe("3.1 s"));
});

describe("percent", () => {
  it("signs where asked, and never signs nothing", () => {
    expect(percent(0.123, 1, true)).toBe("+12.3 %");
    expect(percent(-0.05)).toBe("−5 %");
    expect(percent(-0.0004, 0, true)).toBe("0 %");
  });
});

describe("bytes", () => {
  it.each([
    [0, "0 B"],
    [1023, "1,023 B"],
    [1536, "1.5 KiB"],
    [123456789, "118 MiB"],
    [44 * 2 ** 30, "44.0 GiB"],
  ])("%s is %s", (size, text) => expect(bytes(size)).toBe(text));
});

describe("ago", () => {
  const now = Date.parse("2026-11-22T12:00:00Z");
  it("tells minutes, hours and days", () => {
    expect(ago("2026-11-22T11:55:00Z", now)).toContain("5");
    expect(ago("2026-11-22T09:00:00Z", now)).toContain("3");
    expect(ago("2026-11-20T12:00:00Z", now)).toContain("2 days");
  });
});

describe("title", () => {
  it("reads catalogue names", () => {
    expect(title("video_fast")).toBe("Video fast");
    expect(title("sdxl_image_high")).toBe("SDXL image high");
    expect(title("video7b_fast_enhanced")).toBe("Video fast enhanced");
  });
});
