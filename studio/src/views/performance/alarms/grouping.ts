// Whatever is known of one group is one line. Pure, tested in grouping.test.ts.
import type { Schemas } from "@/api/client";
import type { MatrixRow } from "@/views/performance/queries";

type Alarm = Schemas["AlarmAnswer"];
type Watch = Schemas["WatchAnswer"];

export interface Shifted {
  /** Null: the one that the matrix tells of. */
  measure: string | null;
  share: number | null;
}

export interface AlarmLine {
  kind: "slower" | "faster" | "watched";
  group: string;
  job_type: string;
  preset: string | null;
  state: string | null;
  change: string | null;
  at: string | null;
  shifts: Shifted[];
  texts: string[];
}

const RANK = { slower: 0, watched: 1, faster: 2 };

/**
 * One line for each group that raised something: slower ones first, then the newest.
 *
 * An alarm needs a long history. Where the matrix knows earlier that a group became slower, and
 * nobody has accepted or dismissed that, it is told here as well.
 */
export function alarmLines(
  alarms: readonly Alarm[],
  watched: readonly Watch[],
  rows: readonly MatrixRow[],
): AlarmLine[] {
  const row = new Map(rows.map((each) => [each.group, each]));
  const lines = new Map<string, AlarmLine>();
  const line = (kind: AlarmLine["kind"], told: { group: string; job_type: string }): AlarmLine => {
    const key = `${kind} ${told.group}`;
    const known = lines.get(key);
    if (known) return known;
    const own = row.get(told.group);
    const made: AlarmLine = {
      kind,
      group: told.group,
      job_type: told.job_type,
      preset: own?.preset ?? null,
      state: own?.state ?? null,
      change: own?.change ?? null,
      at: null,
      shifts: [],
      texts: [],
    };
    lines.set(key, made);
    return made;
  };
  for (const alarm of alarms) {
    const told = line(alarm.alarm.direction === "faster" ? "faster" : "slower", alarm);
    told.shifts.push({ measure: alarm.measure, share: shareOf(alarm) });
    told.texts.push(alarm.text);
    if (!told.at || alarm.at < told.at) told.at = alarm.at;
  }
  for (const { group, job_type, trend, trend_shift } of rows) {
    if (trend !== "slower" || group == null || lines.has(`slower ${group}`)) continue;
    line("slower", { group, job_type }).shifts.push({ measure: null, share: trend_shift });
  }
  for (const watch of watched) {
    const kind = lines.has(`slower ${watch.group}`) ? "slower" : "watched";
    line(kind, watch).texts.push(watch.text);
  }
  return [...lines.values()].sort(
    (a, b) => RANK[a.kind] - RANK[b.kind] || (b.at ?? "").localeCompare(a.at ?? ""),
  );
}

function shareOf(alarm: Alarm): number | null {
  const shift = alarm.alarm.shift as { estimate?: unknown } | undefined;
  return typeof shift?.estimate === "number" ? shift.estimate : null;
}
