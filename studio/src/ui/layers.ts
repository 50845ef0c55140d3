// What must be seen above an open modal stands inside it: all else is inert, and lies below.
import { createContext, useContext, useLayoutEffect } from "react";
import { create } from "zustand";

/** Open modals, the topmost last. */
const useModals = create<{ open: readonly HTMLElement[] }>(() => ({ open: [] }));

/** Keep a modal among the open ones while the caller is on screen. */
export function useAsModal(modal: HTMLElement | null): void {
  useLayoutEffect(() => {
    if (!modal) return;
    useModals.setState(({ open }) => ({ open: [...open, modal] }));
    return () =>
      useModals.setState(({ open }) => ({ open: open.filter((each) => each !== modal) }));
  }, [modal]);
}

/** Where what concerns the whole page is drawn. */
export function useTopLayer(): HTMLElement {
  return useModals(({ open }) => open.at(-1)) ?? document.body;
}

/** The modal that a part of the page stands in. */
export const ModalContext = createContext<HTMLElement | null>(null);

/** Where what belongs to one element, a hint or a menu, is drawn. */
export function useOwnLayer(): HTMLElement | undefined {
  return useContext(ModalContext) ?? undefined;
}
