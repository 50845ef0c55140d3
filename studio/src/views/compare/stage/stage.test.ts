import { describe, expect, it } from "vitest";
import type { Asset, Job } from "@/api/client";
import { apartOf } from "@/views/compare/stage/paint";
import { looksFor, ratioOf, type Source, sourcesOf } from "@/views/compare/stage/source";
import { idsOf } from "@/views/compare/use-comparison";

const source = (key: string, over: Partial<Asset> = {}): Source => ({
  key,
  name: key,
  alt: "",
  asset: { id: key, media_type: "image/png", width: 128, height: 64, ...over } as Asset,
});

describe("ways to look", () => {
  it("depend on how many there are, of which kind and size", () => {
    const [a, b, c] = [source("a"), source("b"), source("c")];
    expect(looksFor([a])).toEqual(["side"]);
    expect(looksFor([a, b])).toEqual(["side", "overlay", "toggle", "difference"]);
    expect(looksFor([a, b, c])).toEqual(["side", "toggle"]);
    expect(looksFor([a, source("b", { width: 64 })])).not.toContain("difference");
    const video = source("v", { media_type: "video/mp4" });
    expect(looksFor([video, video])).toEqual(["side", "overlay", "toggle"]);
  });

  it("don't exclude files whose size is not told", () => {
    expect(looksFor([source("a", { width: null }), source("b")])).toContain("difference");
  });
});

describe("sources", () => {
  it("are the same image of each batch, or its last one", () => {
    const job = (id: string, count: number) =>
      ({
        id,
        prompt: "a circle",
        assets: Array.from({ length: count }, (_, at) => ({ id: `${id}-${at}` })),
      }) as Job;
    const found = sourcesOf([job("a", 3), job("b", 1), job("c", 0)], 2, (at) => String(at + 1));
    expect(found.map(({ name, asset }) => [name, asset.id])).toEqual([
      ["1", "a-2"],
      ["2", "b-0"],
    ]);
  });

  it("have the shape that the service tells, else the measured one", () => {
    expect(ratioOf(source("a"), new Map([["a", 9]]))).toBe(2);
    expect(ratioOf(source("a", { width: null }), new Map([["a", 0.6]]))).toBe(0.6);
    expect(ratioOf(source("a", { width: null }), new Map())).toBe(1);
  });
});

describe("the difference of two images", () => {
  it("is told as its mean and the share of pixels that visibly differ", () => {
    const rgba = new Uint8ClampedArray([0, 0, 0, 255, 30, 60, 0, 255, 1, 1, 1, 255, 0, 0, 9, 255]);
    expect(apartOf(rgba)).toEqual({ mean: 102 / 3 / 4, share: 0.5 });
    expect(apartOf(new Uint8ClampedArray())).toEqual({ mean: 0, share: 0 });
  });
});

describe("the address", () => {
  it("names each job once, and not more than fit", () => {
    expect(idsOf("a,b,,a")).toEqual(["a", "b"]);
    expect(idsOf("a,b,c,d,e,f,g")).toHaveLength(6);
    expect(idsOf(null)).toEqual([]);
  });
});
