import { useCallback, useMemo, useState } from "react";
import { FIT, panned, type ViewPort, ZOOM_STEP, zoomedAt } from "@/views/compare/logic/zoom";

export interface Zooming {
  view: ViewPort;
  zoomAt(factor: number, px?: number, py?: number): void;
  pan(dx: number, dy: number): void;
  closer(): void;
  wider(): void;
  fit(): void;
}

/** One view port for all panes: what moves one moves all. */
export function useViewport(): Zooming {
  const [view, setView] = useState<ViewPort>(FIT);
  const zoomAt = useCallback(
    (factor: number, px?: number, py?: number) =>
      setView((known) => zoomedAt(known, factor, px, py)),
    [],
  );
  const pan = useCallback(
    (dx: number, dy: number) => setView((known) => panned(known, dx, dy)),
    [],
  );
  return useMemo(
    () => ({
      view,
      zoomAt,
      pan,
      closer: () => zoomAt(ZOOM_STEP),
      wider: () => zoomAt(1 / ZOOM_STEP),
      fit: () => setView(FIT),
    }),
    [view, zoomAt, pan],
  );
}
