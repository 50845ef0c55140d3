// Words of two texts side by side: which stayed, which went, which came.

export interface Part {
  kind: "same" | "removed" | "added";
  text: string;
}

const MOST_CELLS = 4_000_000; // beyond it the texts are shown as replaced whole

/** Words with the space behind them, so that they add up to the text. */
export function wordsOf(text: string): string[] {
  return text.match(/\s*[\p{L}\p{N}_'’-]+|\s*[^\s\p{L}\p{N}_]|\s+$/gu) ?? [];
}

const sameWord = (a: string, b: string): boolean =>
  a.trim().toLowerCase() === b.trim().toLowerCase();

function lengths(before: string[], after: string[]): Uint16Array[] {
  const table = Array.from({ length: before.length + 1 }, () => new Uint16Array(after.length + 1));
  for (let i = before.length - 1; i >= 0; i--) {
    const row = table[i] as Uint16Array;
    const below = table[i + 1] as Uint16Array;
    for (let j = after.length - 1; j >= 0; j--) {
      row[j] = sameWord(before[i] as string, after[j] as string)
        ? (below[j + 1] as number) + 1
        : Math.max(below[j] as number, row[j + 1] as number);
    }
  }
  return table;
}

function push(parts: Part[], kind: Part["kind"], text: string): void {
  const last = parts.at(-1);
  if (last?.kind === kind) last.text += text;
  else parts.push({ kind, text });
}

/** The longest common run of words is kept; `left` adds up to `before`, `right` to `after`. */
export function diff(before: string, after: string): { left: Part[]; right: Part[] } {
  const [old, fresh] = [wordsOf(before), wordsOf(after)];
  const left: Part[] = [];
  const right: Part[] = [];
  if (old.length * fresh.length > MOST_CELLS)
    return { left: [{ kind: "removed", text: before }], right: [{ kind: "added", text: after }] };
  const table = lengths(old, fresh);
  let i = 0;
  let j = 0;
  while (i < old.length || j < fresh.length) {
    const [word, other] = [old[i], fresh[j]];
    if (word !== undefined && other !== undefined && sameWord(word, other)) {
      push(left, "same", word);
      push(right, "same", other);
      i++;
      j++;
    } else if (
      other !== undefined &&
      (word === undefined || (table[i]?.[j + 1] ?? 0) >= (table[i + 1]?.[j] ?? 0))
    ) {
      push(right, "added", other);
      j++;
    } else {
      push(left, "removed", word as string);
      i++;
    }
  }
  return { left, right };
}
