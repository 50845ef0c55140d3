import { X } from "lucide-react";
import { type ReactNode, useEffect, useId, useRef, useState } from "react";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { cx } from "@/ui/cx";
import { ModalContext, useAsModal } from "@/ui/layers";

interface Props {
  isOpen: boolean;
  onClose(): void;
  title: ReactNode;
  children: ReactNode;
  footer?: ReactNode;
  size?: "sm" | "md" | "lg" | "full";
  isTitleHidden?: boolean;
}

const SIZES = {
  sm: "max-w-md",
  md: "max-w-xl",
  lg: "max-w-4xl",
  full: "max-w-[min(1400px,96vw)] h-[min(960px,94dvh)]",
};

/** A modal of the browser's own: focus stays inside, Esc closes, what is behind is inert. */
export function Dialog({
  isOpen,
  onClose,
  title,
  children,
  footer,
  size = "md",
  isTitleHidden,
}: Props) {
  const ref = useRef<HTMLDialogElement>(null);
  const [modal, setModal] = useState<HTMLElement | null>(null);
  const heading = useId();
  const messages = useMessages();
  useEffect(() => {
    const dialog = ref.current;
    if (!dialog) return;
    if (isOpen && !dialog.open) dialog.showModal();
    if (!isOpen && dialog.open) dialog.close();
    setModal(isOpen ? dialog : null);
  }, [isOpen]);
  useAsModal(modal);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Esc is the keyboard's way, by the browser
    <dialog
      ref={ref}
      aria-labelledby={heading}
      onClose={onClose}
      onClick={(event) => event.target === ref.current && onClose()}
      className={cx(
        "m-auto w-[calc(100vw-1.5rem)] rounded-2xl border border-line bg-surface p-0 backdrop:bg-black/50",
        size !== "full" && "shadow-pop",
        SIZES[size],
      )}
    >
      {isOpen && (
        <div className="flex h-full max-h-[94dvh] flex-col">
          <header
            className={cx(
              "flex items-center justify-between gap-4 px-5 pt-4 pb-2",
              isTitleHidden && "absolute right-0 z-10 pt-2! pr-2!",
            )}
          >
            <h2 id={heading} className={cx("text-base font-semibold", isTitleHidden && "sr-only")}>
              {title}
            </h2>
            {/* Not an IconButton: its tooltip would take the first Esc. */}
            <Button
              variant="ghost"
              className="w-9 px-0!"
              title={messages.actions.close}
              aria-label={messages.actions.close}
              icon={<X size={18} />}
              onClick={onClose}
            />
          </header>
          <div className="min-h-0 flex-1 overflow-auto px-5 pb-5">
            <ModalContext value={modal}>{children}</ModalContext>
          </div>
          {footer && (
            <footer className="flex flex-wrap justify-end gap-2 border-t border-line px-5 py-3">
              <ModalContext value={modal}>{footer}</ModalContext>
            </footer>
          )}
        </div>
      )}
    </dialog>
  );
}
