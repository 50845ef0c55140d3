// Which settings are not beaten, and where their names stand. Pure, tested in front.test.ts.

export interface Choice {
  id: string;
  seconds: number;
  quality: number;
}

/** Faster and at least as good, or as fast and better. */
function beats(a: Choice, b: Choice): boolean {
  return (
    a.seconds <= b.seconds &&
    a.quality >= b.quality &&
    (a.seconds < b.seconds || a.quality > b.quality)
  );
}

/** The choices that no other beats, fastest first. */
export function paretoFront<C extends Choice>(choices: readonly C[]): C[] {
  return choices
    .filter((choice) => !choices.some((other) => beats(other, choice)))
    .sort((a, b) => a.seconds - b.seconds || a.quality - b.quality);
}

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Anchor {
  id: string;
  x: number;
  y: number;
  text: string;
  /** Lower goes first: what matters keeps its name. */
  rank: number;
}

export interface Label extends Anchor {
  box: Box;
  align: "start" | "end" | "middle";
}

const GAP = 9;
const LINE = 15;
const MARK = 6;

const overlap = (a: Box, b: Box): boolean =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

const inside = (inner: Box, outer: Box): boolean =>
  inner.x >= outer.x &&
  inner.y >= outer.y &&
  inner.x + inner.width <= outer.x + outer.width &&
  inner.y + inner.height <= outer.y + outer.height;

/** Names beside their points: never over a point, another name, or the edge. What finds no place is left out. */
export function placeLabels(
  anchors: readonly Anchor[],
  frame: Box,
  widthOf: (text: string) => number,
): Label[] {
  const marks: Box[] = anchors.map(({ x, y }) => ({
    x: x - MARK,
    y: y - MARK,
    width: 2 * MARK,
    height: 2 * MARK,
  }));
  const placed: Label[] = [];
  for (const anchor of [...anchors].sort((a, b) => a.rank - b.rank)) {
    const label = positions(anchor, widthOf(anchor.text)).find(
      ({ box }) =>
        inside(box, frame) &&
        !marks.some((mark) => overlap(mark, box)) &&
        !placed.some((other) => overlap(other.box, box)),
    );
    if (label) placed.push(label);
  }
  return placed;
}

function positions(anchor: Anchor, width: number): Label[] {
  const { x, y } = anchor;
  const at = (left: number, top: number, align: Label["align"]): Label => ({
    ...anchor,
    align,
    box: { x: left, y: top, width, height: LINE },
  });
  const [above, below] = [y - GAP - LINE, y + GAP];
  return [
    at(x - width / 2, above, "middle"),
    at(x + GAP, y - LINE / 2, "start"),
    at(x - width / 2, below, "middle"),
    at(x - GAP - width, y - LINE / 2, "end"),
    at(x + GAP, above, "start"),
    at(x + GAP, below, "start"),
    at(x - GAP - width, above, "end"),
    at(x - GAP - width, below, "end"),
  ];
}
