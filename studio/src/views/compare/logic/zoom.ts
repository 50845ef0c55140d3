// Zoom and pan in shares of the pane, so that panes of any size show the same part.

export interface ViewPort {
  scale: number;
  /** Of the content's left top corner, in panes: 0 is fitted, negative is moved out. */
  x: number;
  y: number;
}

export const FIT: ViewPort = { scale: 1, x: 0, y: 0 };
export const MOST_ZOOM = 16;
export const ZOOM_STEP = 1.5;

const inside = ({ scale, x, y }: ViewPort): ViewPort => ({
  scale,
  x: Math.min(0, Math.max(1 - scale, x)),
  y: Math.min(0, Math.max(1 - scale, y)),
});

/** Zoom by a factor so that the point (in shares of the pane) stays where it is. */
export function zoomedAt(view: ViewPort, factor: number, px = 0.5, py = 0.5): ViewPort {
  const scale = Math.min(MOST_ZOOM, Math.max(1, view.scale * factor));
  const ratio = scale / view.scale;
  return inside({ scale, x: px - (px - view.x) * ratio, y: py - (py - view.y) * ratio });
}

export function panned(view: ViewPort, dx: number, dy: number): ViewPort {
  return inside({ ...view, x: view.x + dx, y: view.y + dy });
}

export function transformOf(view: ViewPort): string {
  return `translate(${view.x * 100}%, ${view.y * 100}%) scale(${view.scale})`;
}
