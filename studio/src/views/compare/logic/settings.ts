// What several jobs were made with, one column each.
import type { Job } from "@/api/client";
import type { Fact } from "@/media";

export interface SettingRow {
  key: string;
  name: string;
  /** One for each job; null: it has no such setting. */
  values: (string | null)[];
  /** Which are not as the first job's. */
  isOther: boolean[];
  isDifferent: boolean;
}

/** Rows in the order in which the settings first appear. */
export function settingRows(facts: readonly (readonly Fact[])[]): SettingRow[] {
  const names = new Map<string, string>();
  for (const fact of facts.flat()) if (!names.has(fact.key)) names.set(fact.key, fact.name);
  return [...names].map(([key, name]) => {
    const values = facts.map((each) => each.find((fact) => fact.key === key)?.value ?? null);
    const isOther = values.map((value) => value !== values[0]);
    return { key, name, values, isOther, isDifferent: isOther.includes(true) };
  });
}

export interface Words {
  kind: "same" | "added" | "removed";
  text: string;
}

const MOST_CELLS = 1_500_000;

/** How one text becomes another, word by word (longest common subsequence). */
export function wordDiff(before: string, after: string): Words[] {
  const a = before.split(/\s+/).filter(Boolean);
  const b = after.split(/\s+/).filter(Boolean);
  if (a.length * b.length > MOST_CELLS)
    return [
      { kind: "removed", text: before },
      { kind: "added", text: after },
    ];
  const width = b.length + 1;
  const common = new Uint16Array((a.length + 1) * width);
  const at = (i: number, j: number): number => common[i * width + j] ?? 0;
  for (let i = a.length - 1; i >= 0; i -= 1)
    for (let j = b.length - 1; j >= 0; j -= 1)
      common[i * width + j] =
        a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
  const words: Words[] = [];
  const add = (kind: Words["kind"], word: string) => {
    const last = words.at(-1);
    if (last?.kind === kind) last.text += ` ${word}`;
    else words.push({ kind, text: word });
  };
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    const [left, right] = [a[i], b[j]];
    if (left !== undefined && left === right) {
      add("same", left);
      i += 1;
      j += 1;
    } else if (left !== undefined && (right === undefined || at(i + 1, j) >= at(i, j + 1))) {
      add("removed", left);
      i += 1;
    } else if (right !== undefined) {
      add("added", right);
      j += 1;
    }
  }
  return words;
}

/** Two jobs of which people may be asked which is better, without their names. */
export function canVote(first: Job, second: Job): boolean {
  return (
    first.id !== second.id &&
    first.assets.length > 0 &&
    second.assets.length > 0 &&
    first.prompt === second.prompt &&
    first.media_type === second.media_type
  );
}

export function pairsToVote(jobs: readonly Job[]): [Job, Job][] {
  return jobs.flatMap((first, index) =>
    jobs
      .slice(index + 1)
      .filter((second) => canVote(first, second))
      .map((second): [Job, Job] => [first, second]),
  );
}
