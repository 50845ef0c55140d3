// Keys of the page: registered by what is on screen, listed by the help sheet.
import { useEffect, useRef } from "react";
import { create } from "zustand";
import { usePreferences } from "@/stores/preferences";

export interface Shortcut {
  /** "mod+enter", "?", "escape", "arrowleft"; mod is Ctrl, on a Mac ⌘. */
  keys: string;
  label: string;
  scope: "everywhere" | "here";
}

interface Registered extends Shortcut {
  run(event: KeyboardEvent): void;
}

interface Registry {
  shortcuts: Registered[];
}

export const useRegistry = create<Registry>(() => ({ shortcuts: [] }));

const isMac = /Mac|iPhone|iPad/.test(navigator.platform);

export function keysOf(event: KeyboardEvent): string {
  const parts: string[] = [];
  if (event.ctrlKey || event.metaKey) parts.push("mod");
  if (event.altKey) parts.push("alt");
  const key = event.key.toLowerCase();
  if (event.shiftKey && key.length > 1) parts.push("shift");
  parts.push(key === " " ? "space" : key);
  return parts.join("+");
}

const NAMES: Record<string, string> = {
  mod: isMac ? "⌘" : "Ctrl",
  alt: "Alt",
  shift: "⇧",
  enter: "Enter",
  escape: "Esc",
  arrowleft: "←",
  arrowright: "→",
  arrowup: "↑",
  arrowdown: "↓",
  space: "Space",
  delete: "Del",
};

/** How a shortcut is written for people. */
export function shownKeys(keys: string): string[] {
  return keys.split("+").map((part) => NAMES[part] ?? part.toUpperCase());
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
  );
}

/** What Space and Enter press by themselves. */
function isPressed(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("button, a, summary, [role=button]") !== null;
}

export function handleKey(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.isComposing) return;
  const keys = keysOf(event);
  const isSingle = !keys.startsWith("mod+") && !keys.startsWith("alt+");
  if (isSingle && (isTyping(event.target) || !usePreferences.getState().hasSingleKeys)) return;
  if ((keys === "space" || keys === "enter") && isPressed(event.target)) return;
  const shortcuts = useRegistry.getState().shortcuts;
  const isModal = document.querySelector("dialog[open]") !== null;
  const found = shortcuts.findLast(
    (each) => each.keys === keys && (!isModal || each.scope === "here"),
  );
  if (found) {
    event.preventDefault();
    found.run(event);
  }
}

/** Answer a key while the caller is on screen (or `isOn`). */
export function useShortcut(
  shortcut: Shortcut,
  run: (event: KeyboardEvent) => void,
  isOn = true,
): void {
  const { keys, label, scope } = shortcut;
  const latest = useRef(run);
  latest.current = run;
  useEffect(() => {
    if (!isOn) return;
    const entry: Registered = { keys, label, scope, run: (event) => latest.current(event) };
    useRegistry.setState(({ shortcuts }) => ({ shortcuts: [...shortcuts, entry] }));
    return () =>
      useRegistry.setState(({ shortcuts }) => ({
        shortcuts: shortcuts.filter((each) => each !== entry),
      }));
  }, [keys, label, scope, isOn]);
}
