import { act, render, screen } from "@testing-library/react";
import { beforeEach, expect, it } from "vitest";
import { useHandedFile } from "@/stores/handed-file";
import { FileDrop } from "@/ui/file-drop";

const file = new File(["x"], "a.png", { type: "image/png" });

/** Returns whether the browser would have gone on with it: to open the file. */
function drag(name: string, data: object): boolean {
  const event = new Event(name, { bubbles: true, cancelable: true });
  Object.assign(event, { dataTransfer: data });
  let goesOn = true;
  act(() => {
    goesOn = document.body.dispatchEvent(event);
  });
  return goesOn;
}

beforeEach(() => {
  window.history.replaceState(null, "", "/library?media=video");
  useHandedFile.getState().take();
});

it("takes a file that is dropped on any page to Create", () => {
  render(<FileDrop />);
  const held = { types: ["Files"], files: [file] };
  expect(drag("dragenter", held)).toBe(false);
  expect(drag("dragover", held)).toBe(false);
  expect(screen.getByText("Drop the file to read its settings")).toBeTruthy();
  expect(drag("drop", held)).toBe(false);
  expect(screen.queryByText("Drop the file to read its settings")).toBeNull();
  expect(window.location.pathname).toBe("/");
  expect(useHandedFile.getState().take()).toBe(file);
  expect(useHandedFile.getState().take()).toBeNull();
});

it("leaves alone what is no file: rows of the queue are dragged too", () => {
  render(<FileDrop />);
  expect(drag("dragover", { types: ["text/plain"], files: [] })).toBe(true);
  expect(drag("drop", { types: ["text/plain"], files: [] })).toBe(true);
  expect(window.location.pathname).toBe("/library");
});
