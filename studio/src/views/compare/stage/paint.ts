/** How far two images are apart; null: the browser may not read files of another origin. */
export type Apart = { mean: number; share: number } | "unequal" | "broken" | null;

const SEEN_FROM = 4; // of 255

/**
 * Paint |a - b| times `gain` (a power of two). Painted by blending, never by reading pixels, so
 * that it works for files of another origin as well.
 */
export function paintDifference(
  canvas: HTMLCanvasElement,
  a: HTMLImageElement,
  b: HTMLImageElement,
  gain: number,
): Apart {
  const [width, height] = [a.naturalWidth, a.naturalHeight];
  if (width !== b.naturalWidth || height !== b.naturalHeight) return "unequal";
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  if (!context) return "broken";
  context.drawImage(a, 0, 0);
  context.globalCompositeOperation = "difference";
  context.drawImage(b, 0, 0);
  const apart = measured(context, width, height);
  context.globalCompositeOperation = "lighter";
  for (let reached = 1; reached < gain; reached *= 2) context.drawImage(canvas, 0, 0);
  return apart;
}

function measured(context: CanvasRenderingContext2D, width: number, height: number): Apart {
  try {
    return apartOf(context.getImageData(0, 0, width, height).data);
  } catch {
    return null;
  }
}

/** Mean difference of the three colours (0 to 255), and the share of pixels that visibly differ. */
export function apartOf(rgba: Uint8ClampedArray): { mean: number; share: number } {
  let sum = 0;
  let seen = 0;
  for (let at = 0; at + 3 < rgba.length; at += 4) {
    const [red, green, blue] = [rgba[at] ?? 0, rgba[at + 1] ?? 0, rgba[at + 2] ?? 0];
    sum += red + green + blue;
    if (Math.max(red, green, blue) >= SEEN_FROM) seen += 1;
  }
  const pixels = Math.max(1, rgba.length / 4);
  return { mean: sum / 3 / pixels, share: seen / pixels };
}
