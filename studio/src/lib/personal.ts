// What this browser keeps of a person's work: gone when the person signs out, in every window.
import type { StoreApi } from "zustand";

const PREFIX = "ourvidz.";
const OF_THE_BROWSER = new Set(["ourvidz.preferences", "ourvidz.theme"]);
const resets = new Map<string, () => void>();

/** Say that a store, kept under `name`, holds a person's work. */
export function isPersonal<State>(
  name: string,
  store: Pick<StoreApi<State>, "getInitialState" | "setState">,
): void {
  resets.set(name, () => store.setState(store.getInitialState(), true));
}

/** Empty those stores, and what views that are not loaded have left behind. */
export function forgetPerson(): void {
  for (const reset of resets.values()) reset();
  try {
    const names = Object.keys(localStorage).filter((name) => name.startsWith(PREFIX));
    for (const name of names) if (!OF_THE_BROWSER.has(name)) localStorage.removeItem(name);
  } catch {
    // A browser that keeps nothing has nothing to forget.
  }
}

/** Another window signed out. */
function onStorage({ key, newValue }: StorageEvent): void {
  if (key !== null && newValue === null) resets.get(key)?.();
}

if (typeof window !== "undefined") window.addEventListener("storage", onStorage);
