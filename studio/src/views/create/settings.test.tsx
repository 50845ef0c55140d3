import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, describe, expect, it } from "vitest";
import { EMPTY, useDraft } from "@/stores/draft";
import { TipProvider } from "@/ui/tooltip";
import { catalogue } from "@/views/create/fixtures";
import { FormProvider, swap } from "@/views/create/form";
import { useMemory } from "@/views/create/memory";
import { Settings } from "@/views/create/settings";

const draft = () => useDraft.getState().draft;

function show() {
  render(
    <QueryClientProvider client={new QueryClient()}>
      <TipProvider>
        <FormProvider catalogue={catalogue}>
          <Settings />
        </FormProvider>
      </TipProvider>
    </QueryClientProvider>,
  );
  return userEvent.setup();
}

beforeEach(() => {
  useDraft.setState({ draft: EMPTY, past: [] });
  useMemory.setState({ isAdvanced: false, lastSeed: null });
});

describe("Settings", () => {
  it("has a field for each value of the schema, advanced ones behind a disclosure", async () => {
    const user = show();
    expect(screen.getByRole("slider", { name: "Length" })).toBeTruthy();
    expect(screen.queryByRole("combobox", { name: "Scheduler" })).toBeNull();
    await user.click(screen.getByRole("button", { name: "Advanced" }));
    expect(screen.getByRole("combobox", { name: "Scheduler" })).toBeTruthy();
    expect(screen.getByRole("spinbutton", { name: "Guidance" })).toBeTruthy();
    expect(useMemory.getState().isAdvanced).toBe(true);
  });

  it("marks what differs from the preset, and resets it", async () => {
    const user = show();
    const steps = screen.getByRole("spinbutton", { name: "Steps" });
    await user.clear(steps);
    await user.type(steps, "12{Enter}");
    expect(draft().values).toEqual({ num_inference_steps: 12 });
    expect(screen.getByText("1 changed")).toBeTruthy();
    await user.click(screen.getByRole("button", { name: "Reset steps to 25" }));
    expect(draft().values).toEqual({});
    expect(screen.queryByText("1 changed")).toBeNull();
  });

  it("takes legal sizes only", async () => {
    const user = show();
    const width = screen.getByRole("spinbutton", { name: "Width" });
    await user.clear(width);
    await user.type(width, "130{Enter}");
    expect(draft().values).toEqual({ width: 128 });
    await user.clear(screen.getByRole("spinbutton", { name: "Width" }));
    await user.type(screen.getByRole("spinbutton", { name: "Width" }), "131{Enter}");
    expect(screen.getByRole<HTMLInputElement>("spinbutton", { name: "Width" }).value).toBe("128");
  });

  it("swaps the sides, and takes shapes", async () => {
    const user = show();
    await user.click(screen.getByRole("button", { name: "Swap width and height" }));
    expect(draft().values).toEqual({ width: 160, height: 96 });
    await user.click(screen.getByRole("button", { name: "1:1" }));
    expect(draft().values).toEqual({ width: 128, height: 128 });
  });

  it("tells lengths in seconds", async () => {
    const user = show();
    await user.click(screen.getByRole("button", { name: "5 s" }));
    expect(draft().values).toEqual({ num_frames: 81 });
    expect(screen.getByText("81 frames · 5.1 s")).toBeTruthy();
  });

  it("locks, steps and frees the seed", async () => {
    const user = show();
    useMemory.setState({ lastSeed: 41 });
    await user.click(screen.getByRole("button", { name: "Locked" }));
    expect(draft().seed).toBe(41);
    await user.click(screen.getByRole("button", { name: "Next seed (+1)" }));
    expect(draft().seed).toBe(42);
    await user.click(screen.getByRole("button", { name: "Use the last seed" }));
    expect(draft().seed).toBe(41);
    await user.clear(screen.getByRole("textbox", { name: "Seed" }));
    expect(screen.getByText("A whole number from 0 to 4294967295.")).toBeTruthy();
    expect(draft().seed).toBe(41);
    await user.click(screen.getByRole("button", { name: "Random" }));
    expect(draft().seed).toBeNull();
  });
});

describe("swap", () => {
  it("brings back what was there, whatever came after", () => {
    const [first, second] = [
      { ...EMPTY, prompt: "first" },
      { ...EMPTY, prompt: "second" },
    ];
    const back = swap(first);
    const backToFirst = swap(second);
    backToFirst();
    expect(draft().prompt).toBe("first");
    back();
    expect(draft().prompt).toBe("");
    const again = swap(first);
    swap(second);
    again();
    expect(draft().prompt).toBe("");
    useDraft.getState().undo();
    expect(draft().prompt).toBe("second");
  });
});
