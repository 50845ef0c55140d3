import { type PointerEvent, type ReactNode, type RefObject, useEffect, useRef } from "react";
import { cx } from "@/ui/cx";
import { ZOOM_STEP } from "@/views/compare/logic/zoom";
import { useLooking } from "@/views/compare/stage/looking";
import { ratioOf, type Source } from "@/views/compare/stage/source";
import type { Zooming } from "@/views/compare/stage/use-viewport";

interface Props {
  source: Source;
  children: ReactNode;
  className?: string;
}

interface Point {
  x: number;
  y: number;
}

const WHEEL_STRENGTH = 0.004;

/** A window onto a picture: Ctrl and wheel or two fingers zoom, dragging moves what is zoomed. */
export function Pane({ source, children, className }: Props) {
  const { zooming, measured } = useLooking();
  const ratio = ratioOf(source, measured);
  const ref = useRef<HTMLDivElement>(null);
  useWheelZoom(ref, zooming);
  const drag = useDrag(ref, zooming);
  const isZoomed = zooming.view.scale > 1;
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: a shortcut for pointers; keys and buttons do the same
    <div
      ref={ref}
      {...drag}
      onDoubleClick={(event) => {
        const { px, py } = shareOf(event.currentTarget, event.clientX, event.clientY);
        if (isZoomed) zooming.fit();
        else zooming.zoomAt(ZOOM_STEP ** 2, px, py);
      }}
      className={cx(
        "relative mx-auto max-w-full overflow-hidden rounded-lg border border-line bg-sunken select-none",
        isZoomed ? "cursor-grab touch-none active:cursor-grabbing" : "touch-pan-y",
        className,
      )}
      style={{ aspectRatio: ratio, width: `min(100%, calc(62dvh * ${ratio}))` }}
    >
      {children}
    </div>
  );
}

function shareOf(element: Element, clientX: number, clientY: number): { px: number; py: number } {
  const box = element.getBoundingClientRect();
  return { px: (clientX - box.left) / box.width, py: (clientY - box.top) / box.height };
}

function useWheelZoom(ref: RefObject<HTMLDivElement | null>, { zoomAt }: Zooming): void {
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    const wheel = (event: WheelEvent) => {
      if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
      event.preventDefault();
      const { px, py } = shareOf(element, event.clientX, event.clientY);
      zoomAt(Math.exp(-event.deltaY * WHEEL_STRENGTH), px, py);
    };
    element.addEventListener("wheel", wheel, { passive: false }); // React's are passive
    return () => element.removeEventListener("wheel", wheel);
  }, [ref, zoomAt]);
}

function useDrag(ref: RefObject<HTMLDivElement | null>, zooming: Zooming) {
  const points = useRef(new Map<number, Point>());
  const { view, zoomAt, pan } = zooming;
  const up = (event: PointerEvent) => points.current.delete(event.pointerId);
  return {
    onPointerDown: (event: PointerEvent) => {
      if (event.button === 0) points.current.set(event.pointerId, pointOf(event));
    },
    onPointerMove: (event: PointerEvent) => {
      const before = points.current.get(event.pointerId);
      const element = ref.current;
      if (!before || !element) return;
      const now = pointOf(event);
      const other = [...points.current].find(([id]) => id !== event.pointerId)?.[1];
      points.current.set(event.pointerId, now);
      if (other) {
        const { px, py } = shareOf(element, (now.x + other.x) / 2, (now.y + other.y) / 2);
        zoomAt(distance(now, other) / Math.max(1, distance(before, other)), px, py);
      } else if (view.scale > 1) {
        element.setPointerCapture(event.pointerId);
        pan((now.x - before.x) / element.clientWidth, (now.y - before.y) / element.clientHeight);
      }
    },
    onPointerUp: up,
    onPointerCancel: up,
    onPointerLeave: up,
  };
}

const pointOf = (event: PointerEvent): Point => ({ x: event.clientX, y: event.clientY });
const distance = (a: Point, b: Point): number => Math.hypot(a.x - b.x, a.y - b.y);
