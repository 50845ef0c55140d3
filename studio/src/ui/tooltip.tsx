import { Tooltip } from "radix-ui";
import type { ReactElement, ReactNode } from "react";
import { useOwnLayer } from "@/ui/layers";

export const TipProvider = Tooltip.Provider;

/** A hint beside an element that can be focused. Never the only place where something is said. */
export function Tip({ text, children }: { text: ReactNode; children: ReactElement }) {
  const layer = useOwnLayer();
  return (
    <Tooltip.Root delayDuration={400}>
      <Tooltip.Trigger asChild>{children}</Tooltip.Trigger>
      <Tooltip.Portal container={layer}>
        <Tooltip.Content
          sideOffset={6}
          collisionPadding={8}
          className="z-50 max-w-72 rounded-md border border-line bg-raised px-2.5 py-1.5 text-xs text-ink shadow-pop"
        >
          {text}
        </Tooltip.Content>
      </Tooltip.Portal>
    </Tooltip.Root>
  );
}
