import { X } from "lucide-react";
import { createPortal } from "react-dom";
import { create } from "zustand";
import { useMessages } from "@/messages";
import { IconButton } from "@/ui/button";
import { cx } from "@/ui/cx";
import { useTopLayer } from "@/ui/layers";

export interface Toast {
  id: number;
  tone: "neutral" | "good" | "bad";
  text: string;
  detail?: string;
  action?: { label: string; run(): void };
  /** News that others may push out in spite of its action. */
  isPassing?: boolean;
  /** Called when it goes without its action: nobody can take back any more what it offered to. */
  onGone?(): void;
}

interface Toasts {
  toasts: Toast[];
  show(toast: Omit<Toast, "id">): void;
  dismiss(id: number): void;
  /** Take what it offers. */
  act(id: number): void;
  /** It stays for as long as somebody is at it. */
  hold(id: number): void;
  release(id: number): void;
  clear(): void;
}

const SHOWN_MS = 6000;
const MOST_SHOWN = 3;
const timers = new Map<number, ReturnType<typeof setTimeout>>();
let nextId = 1;

/** Those that have to go, oldest first, so that a new one may show; what can be taken back stays. */
function pushedOut(toasts: readonly Toast[]): Toast[] {
  const passing = toasts.filter((toast) => !toast.action || toast.isPassing);
  return passing.slice(0, Math.max(0, toasts.length + 1 - MOST_SHOWN));
}

export const useToasts = create<Toasts>((set, get) => {
  const find = (id: number) => get().toasts.find((toast) => toast.id === id);
  const remove = (id: number) => {
    clearTimeout(timers.get(id));
    timers.delete(id);
    set({ toasts: get().toasts.filter((toast) => toast.id !== id) });
  };
  const dismiss = (id: number) => {
    const toast = find(id);
    remove(id);
    toast?.onGone?.();
  };
  const hold = (id: number) => clearTimeout(timers.get(id));
  const release = (id: number) => {
    const toast = find(id);
    if (!toast) return;
    clearTimeout(timers.get(id));
    const shown = toast.tone === "bad" ? SHOWN_MS * 2 : SHOWN_MS;
    timers.set(
      id,
      setTimeout(() => dismiss(id), shown),
    );
  };
  return {
    toasts: [],
    show: (toast) => {
      const id = nextId++;
      for (const each of pushedOut(get().toasts)) dismiss(each.id);
      set({ toasts: [...get().toasts, { ...toast, id }] });
      release(id);
    },
    dismiss,
    act: (id) => {
      const toast = find(id);
      remove(id);
      toast?.action?.run();
    },
    hold,
    release,
    clear: () => {
      for (const { id } of get().toasts) dismiss(id);
    },
  };
});

const EDGE = { neutral: "border-l-accent", good: "border-l-good", bad: "border-l-bad" };

export function ToastRegion() {
  const { toasts, dismiss, act, hold, release } = useToasts();
  const messages = useMessages();
  const layer = useTopLayer();
  return createPortal(
    <div
      aria-live="polite"
      className="pointer-events-none fixed right-4 bottom-20 z-50 flex w-[min(22rem,calc(100vw-2rem))] flex-col gap-2 md:bottom-4"
    >
      {toasts.map((toast) => (
        // biome-ignore lint/a11y/noStaticElementInteractions: it has a role, which is not a constant
        <div
          key={toast.id}
          role={toast.tone === "bad" ? "alert" : "status"}
          onMouseEnter={() => hold(toast.id)}
          onMouseLeave={() => release(toast.id)}
          onFocus={() => hold(toast.id)}
          onBlur={() => release(toast.id)}
          className={cx(
            "pointer-events-auto flex items-start gap-2 rounded-xl border border-l-4 border-line bg-raised py-2.5 pr-1.5 pl-3.5 text-sm shadow-pop",
            EDGE[toast.tone],
          )}
        >
          <div className="min-w-0 flex-1 py-1">
            <p className="font-medium break-words">{toast.text}</p>
            {toast.detail && <p className="text-muted">{toast.detail}</p>}
            {toast.action && (
              <button
                type="button"
                className="mt-1 font-medium text-accent-ink underline underline-offset-2"
                onClick={() => act(toast.id)}
              >
                {toast.action.label}
              </button>
            )}
          </div>
          <IconButton
            size="sm"
            label={messages.actions.dismiss}
            icon={<X size={15} />}
            onClick={() => dismiss(toast.id)}
          />
        </div>
      ))}
    </div>,
    layer,
  );
}
