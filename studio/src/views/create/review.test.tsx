import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Job } from "@/api/client";
import { EMPTY, useDraft } from "@/stores/draft";
import { TipProvider } from "@/ui/tooltip";
import { accept } from "@/views/create/enhancing";
import { catalogue } from "@/views/create/fixtures";
import { FormProvider } from "@/views/create/form";
import { Review } from "@/views/create/review";

const job = {
  id: "job_1",
  job_type: "image7b_fast_enhanced",
  enhanced_prompt: "A polished red circle.",
  enhancement: { verdict: "usable", num_tokens_in: 81, num_tokens_out: 1041 },
} as unknown as Job;

function show() {
  const [onAccept, onKeep] = [vi.fn(), vi.fn()];
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  render(
    <QueryClientProvider client={client}>
      <TipProvider>
        <FormProvider catalogue={catalogue}>
          <Review job={job} original="a red circle" onAccept={onAccept} onKeep={onKeep} />
        </FormProvider>
      </TipProvider>
    </QueryClientProvider>,
  );
  return { user: userEvent.setup(), onAccept, onKeep };
}

beforeEach(() => {
  useDraft.setState({ draft: { ...EMPTY, prompt: "a red circle" }, past: [] });
});

describe("Review", () => {
  it("shows what came, marked, with verdict and tokens", () => {
    show();
    const panel = within(screen.getByRole("region", { name: "Enhanced prompt" }));
    expect(panel.getByText("Usable")).toBeTruthy();
    expect(panel.getByText("Enhancer: 81 tokens in, 1,041 out")).toBeTruthy();
    expect(panel.getByText("polished").tagName).toBe("INS");
    expect(panel.getByText("Written by the enhancer of Image fast enhanced.")).toBeTruthy();
  });

  it("gives the enhanced text, as edited", async () => {
    const { user, onAccept } = show();
    await user.click(screen.getByRole("button", { name: "Edit" }));
    const text = screen.getByRole("textbox", { name: "Edit the enhanced prompt" });
    await user.type(text, " Slow.");
    await user.click(screen.getByRole("button", { name: "Use enhanced" }));
    expect(onAccept).toHaveBeenCalledWith("A polished red circle. Slow.");
  });

  it("keeps the person's own", async () => {
    const { user, onKeep } = show();
    await user.click(screen.getByRole("button", { name: "Keep mine" }));
    expect(onKeep).toHaveBeenCalled();
  });
});

describe("accept", () => {
  const draft = () => useDraft.getState().draft;

  it("puts the text in, and takes it out again", () => {
    const undo = accept("better");
    expect(draft().prompt).toBe("better");
    undo();
    expect(draft().prompt).toBe("a red circle");
  });

  it("leaves what changed since", () => {
    const undo = accept("better");
    useDraft.getState().set({ seed: 7 });
    undo();
    expect(draft()).toMatchObject({ prompt: "a red circle", seed: 7 });
  });
});
