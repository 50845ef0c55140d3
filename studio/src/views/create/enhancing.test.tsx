import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, renderHook, waitFor } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { api, type Job } from "@/api/client";
import { useDraft } from "@/stores/draft";
import { useEnhance } from "@/views/create/enhancing";
import { catalogue } from "@/views/create/fixtures";
import { FormProvider } from "@/views/create/form";
import { useMemory } from "@/views/create/memory";

const running = { id: "job_1", state: "running" } as Job;

let answers: ((job: Job) => void)[];
let cancelled: string[];

beforeEach(() => {
  answers = [];
  cancelled = [];
  useDraft.getState().set({ prompt: "a red circle" });
  useMemory.getState().set({ proposal: null });
  vi.spyOn(api, "GET").mockImplementation((async () => ({ data: running })) as never);
  vi.spyOn(api, "POST").mockImplementation((async (path: string, options: unknown) => {
    if (path === "/api/v1/enhance")
      return { data: await new Promise<Job>((resolve) => answers.push(resolve)) };
    cancelled.push((options as { params: { path: { job_id: string } } }).params.path.job_id);
    return { data: running };
  }) as never);
});
afterEach(() => vi.restoreAllMocks());

function begin() {
  const client = new QueryClient();
  const wrapper = ({ children }: { children: ReactNode }) => (
    <QueryClientProvider client={client}>
      <FormProvider catalogue={catalogue}>{children}</FormProvider>
    </QueryClientProvider>
  );
  return renderHook(() => useEnhance(), { wrapper }).result;
}

it("cancels the job of a wish that was taken back before it had one", async () => {
  const enhancing = begin();
  act(() => enhancing.current.ask());
  await waitFor(() => expect(answers).toHaveLength(1));
  await act(() => enhancing.current.cancel());
  await waitFor(() => expect(enhancing.current.isWorking).toBe(false));
  await act(async () => answers[0]?.(running));
  await waitFor(() => expect(cancelled).toEqual(["job_1"]));
  expect(enhancing.current.proposal).toBeNull();
});

it("cancels a job whose state is not known yet, and drops its proposal", async () => {
  const enhancing = begin();
  act(() => enhancing.current.ask());
  await waitFor(() => expect(answers).toHaveLength(1));
  await act(async () => answers[0]?.(running));
  await waitFor(() => expect(enhancing.current.proposal?.job_id).toBe("job_1"));
  await act(() => enhancing.current.cancel());
  expect(cancelled).toEqual(["job_1"]);
  expect(enhancing.current.proposal).toBeNull();
});
