import { expect, it } from "vitest";
import type { Schemas } from "@/api/client";
import { alarmLines } from "@/views/performance/alarms/grouping";
import { matrixRow } from "@/views/performance/fixtures";

const alarm = (fields: Partial<Schemas["AlarmAnswer"]>, direction = "slower") => ({
  group: "g-1",
  job_type: "video_fast",
  measure: "total",
  record: "job_1",
  at: "2026-01-05T00:00:00+00:00",
  alarm: { direction, shift: { estimate: 0.2 } },
  text: "total is slower",
  ...fields,
});

it("makes one line of a group's alarms, with what the matrix knows of it", () => {
  const lines = alarmLines(
    [alarm({}), alarm({ measure: "denoise", at: "2026-01-04T00:00:00+00:00" })],
    [],
    [matrixRow({ preset: "balanced", state: "cold", change: "c-9" })],
  );
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatchObject({
    kind: "slower",
    preset: "balanced",
    state: "cold",
    change: "c-9",
    at: "2026-01-04T00:00:00+00:00",
    shifts: [
      { measure: "total", share: 0.2 },
      { measure: "denoise", share: 0.2 },
    ],
  });
});

it("tells what became slower before the history is long enough for an alarm", () => {
  const slow = { trend: "slower", trend_shift: 19.7, change: "c-3" };
  const lines = alarmLines(
    [alarm({ group: "g-2" })],
    [{ group: "g-1", job_type: "video_fast", slow: [], text: "3 of the last 5 jobs were slow" }],
    [
      matrixRow({ ...slow }),
      matrixRow({ ...slow, group: "g-2" }), // its alarm says so
      matrixRow({ group: "g-4", trend: "faster", trend_shift: -0.5 }),
      matrixRow({ group: null, trend: "unknown" }),
    ],
  );
  expect(lines.map((line) => [line.kind, line.group])).toEqual([
    ["slower", "g-2"],
    ["slower", "g-1"],
  ]);
  expect(lines[1]).toMatchObject({
    change: "c-3",
    state: "resident",
    shifts: [{ measure: null, share: 19.7 }],
    texts: ["3 of the last 5 jobs were slow"],
  });
});

it("puts trouble first and good news last", () => {
  const lines = alarmLines(
    [alarm({ group: "g-2" }, "faster"), alarm({})],
    [{ group: "g-3", job_type: "video_high", slow: [], text: "3 of the last 5 jobs were slow" }],
    [],
  );
  expect(lines.map((line) => line.kind)).toEqual(["slower", "watched", "faster"]);
  expect(lines[1]?.texts).toEqual(["3 of the last 5 jobs were slow"]);
  expect(lines[1]?.state).toBeNull();
});
