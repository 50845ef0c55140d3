import { expect, it } from "vitest";
import { appended, asText, type JobEvent, type LogLine, lineOf } from "./log-lines";

const event = (seq: number, kind: string, data: Record<string, unknown>): JobEvent =>
  ({ job_id: "job_1", seq, at: `2026-11-22T00:00:0${seq}Z`, kind, data }) as JobEvent;

it("reads log lines, notes and events", () => {
  expect(lineOf(event(1, "log", { level: "warning", text: "slow disk" }))).toMatchObject({
    level: "warning",
    text: "slow disk",
  });
  expect(lineOf(event(2, "phase", { phase: "denoise", num_units: 25 }))).toMatchObject({
    level: "info",
    text: "denoise (25)",
  });
  expect(
    lineOf(event(3, "failed", { token: 3, error: { message: "It died.", hint: "Look." } })),
  ).toMatchObject({
    level: "error",
    text: "It died. Look.",
  });
});

it("tells a line once", () => {
  const one = lineOf(event(1, "log", { text: "a" }));
  const two = lineOf(event(2, "log", { text: "b" }));
  let lines: readonly LogLine[] = [];
  for (const line of [one, two, one, two]) lines = appended(lines, line);
  expect(lines.map(({ seq }) => seq)).toEqual([1, 2]);
  expect(asText(lines)).toBe("2026-11-22T00:00:01Z info log a\n2026-11-22T00:00:02Z info log b");
});
