import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { copyText } from "@/lib/clipboard";

let copied: string[];

/** What browsers do: the selected text is copied. */
function execCommand(): boolean {
  const area = document.activeElement as HTMLTextAreaElement;
  copied.push(area.value.slice(area.selectionStart, area.selectionEnd));
  return true;
}

beforeEach(() => {
  copied = [];
  document.execCommand = execCommand;
});
afterEach(() => {
  vi.unstubAllGlobals();
  document.body.innerHTML = "";
});

it("copies without the clipboard's interface, and gives the focus back", async () => {
  vi.stubGlobal("navigator", {});
  document.body.innerHTML = "<dialog open><button>Copy</button></dialog>";
  const button = document.querySelector("button");
  button?.focus();
  expect(await copyText("a red circle")).toBe(true);
  expect(copied).toEqual(["a red circle"]);
  expect(document.activeElement).toBe(button);
  expect(document.querySelector("textarea")).toBeNull();
});

it("copies where the interface is there and refuses", async () => {
  vi.stubGlobal("navigator", { clipboard: { writeText: () => Promise.reject(new Error("no")) } });
  expect(await copyText("a")).toBe(true);
  expect(copied).toEqual(["a"]);
});

it("says so where nothing helps", async () => {
  vi.stubGlobal("navigator", {});
  document.execCommand = () => false;
  expect(await copyText("a")).toBe(false);
});
