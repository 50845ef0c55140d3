import { ChevronsLeftRight } from "lucide-react";
import type { PointerEvent, RefObject } from "react";
import { useMessages } from "@/messages";
import { slidBy, slidTo } from "@/views/compare/logic/slider";

interface Props {
  percent: number;
  onChange(percent: number): void;
  /** The pane that it divides. */
  pane: RefObject<HTMLElement | null>;
  names: readonly [string, string];
}

/** The line between two pictures that lie on each other: dragged, or moved with the arrow keys. */
export function Divider({ percent, onChange, pane, names }: Props) {
  const messages = useMessages();
  const follow = (event: PointerEvent) => {
    const box = pane.current?.getBoundingClientRect();
    if (box) onChange(slidTo(event.clientX, box.left, box.width));
  };
  return (
    <div
      role="slider"
      tabIndex={0}
      aria-label={messages.compare.divider}
      aria-orientation="horizontal"
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(percent)}
      aria-valuetext={messages.compare.dividerText(Math.round(percent), ...names)}
      onKeyDown={(event) => {
        const next = slidBy(percent, event.key, event.shiftKey);
        if (next === null) return;
        event.preventDefault();
        onChange(next);
      }}
      onPointerDown={(event) => {
        event.stopPropagation(); // the pane would pan
        event.currentTarget.setPointerCapture(event.pointerId);
        follow(event);
      }}
      onPointerMove={(event) => {
        if (event.currentTarget.hasPointerCapture(event.pointerId)) follow(event);
      }}
      onDoubleClick={(event) => event.stopPropagation()}
      className="group absolute inset-y-0 z-10 w-11 -translate-x-1/2 cursor-ew-resize touch-none outline-none"
      style={{ left: `${percent}%` }}
    >
      <span
        aria-hidden
        className="absolute inset-y-0 left-1/2 w-0.5 -translate-x-1/2 bg-white shadow-[0_0_0_1px_rgb(0_0_0/0.35)]"
      />
      <span
        aria-hidden
        className="absolute top-1/2 left-1/2 grid size-8 -translate-x-1/2 -translate-y-1/2 place-items-center rounded-full border border-line bg-raised text-ink shadow-pop group-focus-visible:outline-2 group-focus-visible:outline-offset-2 group-focus-visible:outline-accent"
      >
        <ChevronsLeftRight size={16} />
      </span>
    </div>
  );
}
