import { beforeEach, expect, it } from "vitest";
import { forgetPerson } from "@/lib/personal";
import { useComparison } from "@/stores/comparison";
import { useDraft } from "@/stores/draft";
import { usePreferences } from "@/stores/preferences";
import { useMemory } from "@/views/create/memory";
import { useGrids } from "@/views/grid/store";

const SECRET = "a secret prompt";

function work(): void {
  useDraft.getState().set({ prompt: SECRET });
  useDraft.getState().replace({ ...useDraft.getState().draft, seed: 7 });
  useComparison.getState().set(["job_1"]);
  useMemory.getState().set({ proposal: { job_id: "job_1", original: SECRET } });
  useGrids.getState().remember({ batch_id: "b", at_ms: 1, prompt: SECRET, axes: [], num_jobs: 4 });
}

const kept = () => Object.values({ ...localStorage }).join();

beforeEach(() => {
  localStorage.clear();
  work();
});

it("leaves nothing of a person who signs out, and the browser's choices", () => {
  usePreferences.getState().setSingleKeys(false);
  localStorage.setItem("ourvidz.of-a-view-not-loaded", SECRET);
  localStorage.setItem("another.program", "stays");
  expect(kept()).toContain(SECRET);
  forgetPerson();
  expect(kept()).not.toContain(SECRET);
  expect(Object.keys(localStorage).sort()).toEqual(["another.program", "ourvidz.preferences"]);
  expect(useDraft.getState()).toMatchObject({ draft: { prompt: "", seed: null }, past: [] });
  expect(useComparison.getState().ids).toEqual([]);
  expect(useMemory.getState().proposal).toBeNull();
  expect(useGrids.getState().known).toEqual([]);
  useDraft.getState().set({ prompt: "the next one's" });
  expect(kept()).toContain("the next one's");
});

it("follows another window that signed out", () => {
  window.dispatchEvent(new StorageEvent("storage", { key: "ourvidz.draft", newValue: "{}" }));
  expect(useDraft.getState().draft.prompt).toBe(SECRET);
  window.dispatchEvent(new StorageEvent("storage", { key: "ourvidz.draft", newValue: null }));
  expect(useDraft.getState().draft.prompt).toBe("");
});
