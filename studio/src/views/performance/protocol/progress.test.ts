import { expect, it } from "vitest";
import { advanced, NOTHING } from "./progress";
import type { RunEvent } from "./queries";

const event = (seq: number, kind: "run" | "end", num_done: number): RunEvent =>
  ({ seq, kind, num_done, num_planned: 3 }) as RunEvent;

it("counts each event once and knows the end", () => {
  let progress = NOTHING;
  for (const one of [event(1, "run", 0), event(2, "run", 1), event(2, "run", 1)])
    progress = advanced(progress, one);
  expect(progress).toMatchObject({ num_done: 1, num_planned: 3, isOver: false });
  expect(progress.events).toHaveLength(2);
  expect(advanced(progress, event(3, "end", 3)).isOver).toBe(true);
});
