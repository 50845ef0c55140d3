// Sizes that keep a preset's number of pixels, so that they take about as long, in usual shapes.
import { type NumericField, snap } from "@/views/create/schema";

export interface Size {
  width: number;
  height: number;
}

export interface SizeOption extends Size {
  /** "16:9"; null: the preset's own. */
  shape: string | null;
}

const SHAPES: readonly (readonly [number, number])[] = [
  [9, 16],
  [2, 3],
  [1, 1],
  [3, 2],
  [16, 9],
];

const SAME = 0.06; // of the ratio: shapes nearer than this are one

export function isSame(a: Size, b: Size): boolean {
  return a.width === b.width && a.height === b.height;
}

export function sizeOptions(base: Size, width: NumericField, height: NumericField): SizeOption[] {
  const pixels = base.width * base.height;
  const shaped = SHAPES.map(
    ([x, y]): SizeOption => ({
      shape: `${x}:${y}`,
      width: snap(width, Math.sqrt((pixels * x) / y)),
      height: snap(height, Math.sqrt((pixels * y) / x)),
    }),
  );
  const ratio = base.width / base.height;
  const own = SHAPES.find(([x, y]) => Math.abs(x / y / ratio - 1) < SAME);
  const others = shaped.filter(
    (option, index) =>
      SHAPES[index] !== own &&
      shaped.findIndex((each) => isSame(each, option)) === index &&
      !isSame(option, base),
  );
  const options = [...others, { ...base, shape: own ? `${own[0]}:${own[1]}` : null }];
  return options.sort((a, b) => a.width / a.height - b.width / b.height);
}
