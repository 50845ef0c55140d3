import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";
import type { Job } from "@/api/client";
import { ApiError } from "@/api/client";
import { Enhancement } from "@/views/create/enhancement";
import type { Enhancing } from "@/views/create/enhancing";
import { catalogue, videoEnhanced } from "@/views/create/fixtures";
import { FormProvider } from "@/views/create/form";

function show(change: Partial<Enhancing>) {
  const enhancing: Enhancing = {
    enhancer: videoEnhanced,
    proposal: { job_id: "job_1", original: "a red circle" },
    job: undefined,
    isWorking: false,
    error: null,
    ask: vi.fn(),
    close: vi.fn(),
    cancel: vi.fn(async () => undefined),
    ...change,
  };
  render(
    <QueryClientProvider client={new QueryClient()}>
      <FormProvider catalogue={catalogue}>
        <Enhancement enhancing={enhancing} />
      </FormProvider>
    </QueryClientProvider>,
  );
  return { enhancing, user: userEvent.setup() };
}

const ended = (change: Partial<Job>): Job =>
  ({ id: "job_1", state: "succeeded", enhanced_prompt: null, ...change }) as unknown as Job;
const verdict = (word: string): Job =>
  ended({ enhancement: { verdict: word } as Job["enhancement"] });

describe("Enhancement", () => {
  it("says plainly what the enhancer did not do", async () => {
    const { user, enhancing } = show({ job: verdict("refused") });
    expect(screen.getByRole("alert").textContent).toContain("refused this prompt");
    await user.click(screen.getByRole("button", { name: "Close" }));
    expect(enhancing.close).toHaveBeenCalled();
  });

  it("says so when there is no enhancer", () => {
    show({ job: verdict("unavailable") });
    expect(screen.getByRole("alert").textContent).toContain("not available");
  });

  it("tells why a job failed", () => {
    const error = { code: "x", message: "No memory.", param: null, hint: "Wait." };
    show({ job: ended({ state: "failed", error }) });
    expect(screen.getByRole("alert").textContent).toContain("No memory. Wait.");
  });

  it("tells why it could not be asked for", () => {
    show({ proposal: null, error: new ApiError(429, "quota", "Too many.", null, "Later.") });
    expect(screen.getByRole("alert").textContent).toContain("Too many. Later.");
  });

  it("can be cancelled while it works", async () => {
    const { user, enhancing } = show({ isWorking: true, job: ended({ state: "queued" }) });
    expect(screen.getByRole("status").textContent).toContain("Waiting for its turn");
    await user.click(screen.getByRole("button", { name: "Cancel" }));
    expect(enhancing.cancel).toHaveBeenCalled();
  });

  it("shows nothing before it was asked", () => {
    show({ proposal: null });
    expect(screen.queryByRole("alert")).toBeNull();
    expect(screen.queryByRole("region")).toBeNull();
  });
});
