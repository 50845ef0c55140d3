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
}

interface Toasts {
  toasts: Toast[];
  show(toast: Omit<Toast, "id">): void;
  dismiss(id: number): void;
}

const SHOWN_MS = 6000;
let nextId = 1;

export const useToasts = create<Toasts>((set, get) => ({
  toasts: [],
  show: (toast) => {
    const id = nextId++;
    set({ toasts: [...get().toasts.slice(-2), { ...toast, id }] });
    setTimeout(() => get().dismiss(id), toast.tone === "bad" ? SHOWN_MS * 2 : SHOWN_MS);
  },
  dismiss: (id) => set({ toasts: get().toasts.filter((toast) => toast.id !== id) }),
}));

const EDGE = { neutral: "border-l-accent", good: "border-l-good", bad: "border-l-bad" };

export function ToastRegion() {
  const { toasts, dismiss } = useToasts();
  const messages = useMessages();
  const layer = useTopLayer();
  return createPortal(
    <div
      aria-live="polite"
      className="pointer-events-none fixed right-4 bottom-20 z-50 flex w-[min(22rem,calc(100vw-2rem))] flex-col gap-2 md:bottom-4"
    >
      {toasts.map((toast) => (
        <div
          key={toast.id}
          role={toast.tone === "bad" ? "alert" : "status"}
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
                onClick={() => {
                  toast.action?.run();
                  dismiss(toast.id);
                }}
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
