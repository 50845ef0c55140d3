// Deleting hides at once and is done when the offer to undo it has gone.
import { useCallback } from "react";
import { create } from "zustand";
import { useDeleteJobs } from "@/api/actions";
import { useMessages } from "@/messages";
import { useToasts } from "@/ui/toast";

const MOST_AT_ONCE = 500;

/** Ids that are about to be deleted: views leave them out. */
export const useHidden = create<{ ids: ReadonlySet<string> }>(() => ({ ids: new Set() }));

export function hide(ids: readonly string[]): void {
  useHidden.setState((known) => ({ ids: new Set([...known.ids, ...ids]) }));
}

export function show(ids: readonly string[]): void {
  const gone = new Set(ids);
  useHidden.setState((known) => ({ ids: new Set([...known.ids].filter((id) => !gone.has(id))) }));
}

export function chunks<T>(all: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(all.length / size) }, (_, index) =>
    all.slice(index * size, (index + 1) * size),
  );
}

/** Delete jobs unless the person takes it back. Leaving the page does not bring them back. */
export function useDelete(): (ids: readonly string[]) => void {
  const { mutateAsync } = useDeleteJobs();
  const messages = useMessages();
  const { show: showToast } = useToasts();
  return useCallback(
    (ids) => {
      if (ids.length === 0) return;
      const isLeft = () => {
        for (const part of chunks(ids, MOST_AT_ONCE)) sendAway(part);
      };
      const settle = () => window.removeEventListener("pagehide", isLeft);
      const commit = async () => {
        settle();
        try {
          for (const part of chunks(ids, MOST_AT_ONCE)) await mutateAsync(part);
        } catch {
          // useDeleteJobs said why; what was not deleted shows again.
        }
        show(ids);
      };
      window.addEventListener("pagehide", isLeft);
      hide(ids);
      showToast({
        tone: "neutral",
        text: messages.library.deleted(ids.length),
        action: {
          label: messages.actions.undo,
          run: () => {
            settle();
            show(ids);
          },
        },
        onGone: () => void commit(),
      });
    },
    [mutateAsync, messages, showToast],
  );
}

/** The browser sends it even though the page is gone. */
function sendAway(ids: readonly string[]): void {
  void fetch("/api/v1/jobs/delete", {
    method: "POST",
    keepalive: true,
    credentials: "same-origin",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ job_ids: ids }),
  });
}
