import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, renderHook } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, expect, it, vi } from "vitest";
import { api } from "@/api/client";
import { keys } from "@/api/queries";
import { useSession } from "@/shell/session";
import { useDraft } from "@/stores/draft";
import { useToasts } from "@/ui/toast";

const stranger = { is_authenticated: false, needs_key: true, scopes: [] };

afterEach(() => vi.restoreAllMocks());

it("leaves nothing of who signs out, and does first what could be taken back", async () => {
  const done: string[] = [];
  vi.spyOn(api, "DELETE").mockImplementation((async () => {
    done.push("signed out");
    return { data: stranger };
  }) as never);
  const client = new QueryClient();
  client.setQueryData(keys.session, { ...stranger, is_authenticated: true });
  client.setQueryData(keys.active, [{ id: "job_1", prompt: "a secret prompt" }]);
  useDraft.getState().set({ prompt: "a secret prompt" });
  useToasts
    .getState()
    .show({ tone: "neutral", text: "Deleted", onGone: () => done.push("deleted") });
  const wrapper = ({ children }: { children: ReactNode }) => (
    <QueryClientProvider client={client}>{children}</QueryClientProvider>
  );
  const { result } = renderHook(() => useSession(), { wrapper });
  await act(() => result.current.signOut());
  expect(done).toEqual(["deleted", "signed out"]);
  expect(client.getQueryData(keys.session)).toEqual(stranger);
  expect(client.getQueryData(keys.active)).toBeUndefined();
  expect(JSON.stringify({ ...localStorage })).not.toContain("a secret prompt");
  expect(useDraft.getState().draft.prompt).toBe("");
});
