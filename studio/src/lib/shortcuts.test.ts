// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { handleKey, keysOf, useRegistry } from "@/lib/shortcuts";
import { usePreferences } from "@/stores/preferences";

const key = (name: string, options: KeyboardEventInit = {}) =>
  new KeyboardEvent("keydown", { key: name, cancelable: true, bubbles: true, ...options });

function press(target: Element, event: KeyboardEvent): void {
  target.addEventListener("keydown", (pressed) => handleKey(pressed as KeyboardEvent), {
    once: true,
  });
  target.dispatchEvent(event);
}

describe("keysOf", () => {
  it("names keys as shortcuts do", () => {
    expect(keysOf(key("Enter", { ctrlKey: true }))).toBe("mod+enter");
    expect(keysOf(key("ArrowLeft", { shiftKey: true }))).toBe("shift+arrowleft");
    expect(keysOf(key("?", { shiftKey: true }))).toBe("?");
    expect(keysOf(key(" "))).toBe("space");
  });
});

describe("handleKey", () => {
  const run = vi.fn();

  beforeEach(() => {
    const shortcut = (keys: string, scope: "here" | "everywhere") => ({
      keys,
      scope,
      label: keys,
      run: () => run(keys, scope),
    });
    useRegistry.setState({
      shortcuts: [
        shortcut("3", "everywhere"),
        shortcut("3", "here"),
        shortcut("space", "here"),
        shortcut("mod+enter", "here"),
        shortcut("?", "everywhere"),
      ],
    });
    usePreferences.setState({ hasSingleKeys: true });
  });

  afterEach(() => {
    run.mockClear();
    document.body.replaceChildren();
  });

  it("answers with the latest of a key", () => {
    press(document.body, key("3"));
    expect(run.mock.calls).toEqual([["3", "here"]]);
  });

  it("leaves single keys to who types, and keeps the others", () => {
    const field = document.body.appendChild(document.createElement("textarea"));
    press(field, key("3"));
    press(field, key("Enter", { metaKey: true }));
    expect(run.mock.calls).toEqual([["mod+enter", "here"]]);
  });

  it("leaves Space to the button that has the focus", () => {
    const button = document.body.appendChild(document.createElement("button"));
    press(button, key(" "));
    expect(run).not.toHaveBeenCalled();
    press(document.body, key(" "));
    expect(run).toHaveBeenCalledOnce();
  });

  it("has single keys switched off where somebody wished so", () => {
    usePreferences.setState({ hasSingleKeys: false });
    press(document.body, key("3"));
    expect(run).not.toHaveBeenCalled();
  });

  it("asks only what is in front while a dialog is open", () => {
    document.body.appendChild(document.createElement("dialog")).setAttribute("open", "");
    press(document.body, key("?", { shiftKey: true }));
    press(document.body, key("3"));
    expect(run.mock.calls).toEqual([["3", "here"]]);
  });
});
