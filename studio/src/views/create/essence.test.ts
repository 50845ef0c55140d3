// @vitest-environment node
import { describe, expect, it } from "vitest";
import { essence } from "@/views/create/essence";

const bytes = (...parts: (string | number[])[]): Uint8Array<ArrayBuffer> =>
  new Uint8Array(
    parts.flatMap((part) =>
      typeof part === "string" ? [...part].map((letter) => letter.charCodeAt(0)) : part,
    ),
  );
const size = (count: number): number[] => [0, 0, count >> 8, count & 255];
const box = (name: string, count: number): Uint8Array<ArrayBuffer> =>
  bytes(
    size(count + 8),
    name,
    Array.from({ length: count }, () => 7),
  );

async function sent(...parts: Uint8Array<ArrayBuffer>[]): Promise<string> {
  const blob = await essence(new Blob(parts));
  return String.fromCharCode(...new Uint8Array(await blob.arrayBuffer()));
}

describe("essence", () => {
  it("sends a PNG up to its pixels", async () => {
    const head = bytes([0x89], "PNG", [13, 10, 26, 10]);
    const chunk = (name: string, count: number) =>
      bytes(
        size(count),
        name,
        Array.from({ length: count + 4 }, () => 1),
      );
    const text = await sent(head, chunk("IHDR", 13), chunk("tEXt", 20), chunk("IDAT", 900));
    expect(text).toContain("tEXt");
    expect(text).not.toContain("IDAT");
  });

  it("sends the boxes of an MP4 that hold settings, wherever they stand", async () => {
    const text = await sent(box("ftyp", 16), box("mdat", 900), box("moov", 40));
    expect(text).toContain("ftyp");
    expect(text).toContain("moov");
    expect(text).not.toContain("mdat");
  });

  it("sends anything else as it is", async () => {
    expect(await sent(bytes("just some text, no picture"))).toBe("just some text, no picture");
    expect(await sent(bytes("tiny"))).toBe("tiny");
    expect((await sent(box("ftyp", 16), bytes([0, 0, 0, 3], "moov"))).length).toBe(32);
  });
});
