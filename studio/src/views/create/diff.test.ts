import { describe, expect, it } from "vitest";
import { diff, type Part, wordsOf } from "@/views/create/diff";

const textOf = (parts: Part[]): string => parts.map((part) => part.text).join("");
const ofKind = (parts: Part[], kind: Part["kind"]): string[] =>
  parts.filter((part) => part.kind === kind).map((part) => part.text.trim());

describe("wordsOf", () => {
  it("adds up to the text", () => {
    for (const text of [
      "a red circle, moving.",
      "  two  spaces ",
      "",
      "日本 – ¡olé!",
      "it's 3.5 x",
    ])
      expect(wordsOf(text).join("")).toBe(text);
  });
});

describe("diff", () => {
  it("keeps both texts whole", () => {
    const [before, after] = ["a red circle moving left", "A polished red circle, slowly moving."];
    const { left, right } = diff(before, after);
    expect(textOf(left)).toBe(before);
    expect(textOf(right)).toBe(after);
  });

  it("finds what stayed, whatever its case", () => {
    const { left, right } = diff("a red circle", "Cinematic: A large red circle.");
    expect(ofKind(left, "removed")).toEqual([]);
    expect(ofKind(right, "same").join(" ")).toBe("A red circle");
    expect(ofKind(right, "added")).toEqual(["Cinematic:", "large", "."]);
  });

  it("finds what went", () => {
    const { left, right } = diff("a big red circle", "a red circle");
    expect(ofKind(left, "removed")).toEqual(["big"]);
    expect(ofKind(right, "added")).toEqual([]);
  });

  it("has nothing to say about equal or empty texts", () => {
    expect(diff("same words", "same words").left).toEqual([{ kind: "same", text: "same words" }]);
    expect(diff("", "")).toEqual({ left: [], right: [] });
    expect(diff("", "new").right).toEqual([{ kind: "added", text: "new" }]);
  });

  it("gives up on texts too long to compare", () => {
    const long = Array.from({ length: 2500 }, (_, index) => `w${index}`).join(" ");
    expect(diff(long, `${long} x`).left).toEqual([{ kind: "removed", text: long }]);
  });
});
