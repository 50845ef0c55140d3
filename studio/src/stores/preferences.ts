// Choices of this browser.
import { create } from "zustand";
import { persist } from "zustand/middleware";

export type Theme = "system" | "light" | "dark";

interface Preferences {
  theme: Theme;
  hasSingleKeys: boolean;
  hasNotifications: boolean;
  setTheme(theme: Theme): void;
  setSingleKeys(isOn: boolean): void;
  setNotifications(isOn: boolean): void;
}

const dark = () => window.matchMedia("(prefers-color-scheme: dark)");

export function applyTheme(theme: Theme): void {
  const shown = theme === "system" ? (dark().matches ? "dark" : "light") : theme;
  document.documentElement.dataset.theme = shown;
  try {
    if (theme === "system") localStorage.removeItem("ourvidz.theme");
    else localStorage.setItem("ourvidz.theme", theme); // public/theme.js reads it before the first paint
  } catch {
    // A browser that keeps nothing still shows the right colours.
  }
}

export const usePreferences = create<Preferences>()(
  persist(
    (set) => ({
      theme: "system",
      hasSingleKeys: true,
      hasNotifications: false,
      setTheme: (theme) => {
        applyTheme(theme);
        set({ theme });
      },
      setSingleKeys: (hasSingleKeys) => set({ hasSingleKeys }),
      setNotifications: (hasNotifications) => set({ hasNotifications }),
    }),
    { name: "ourvidz.preferences", version: 1 },
  ),
);

/** Follow the system's theme while that is the choice. */
export function followTheme(): () => void {
  const update = () => applyTheme(usePreferences.getState().theme);
  update();
  const media = dark();
  media.addEventListener("change", update);
  return () => media.removeEventListener("change", update);
}
