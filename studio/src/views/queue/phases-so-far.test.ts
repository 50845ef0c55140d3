import { describe, expect, it } from "vitest";
import type { Schemas } from "@/api/client";
import { addEvents, phasesSoFar } from "@/views/queue/phases-so-far";

type JobEvent = Schemas["EventAnswer"];

const event = (kind: JobEvent["kind"], second: number, phase?: string): JobEvent => ({
  job_id: "job_a",
  seq: second,
  at: new Date(second * 1000).toISOString(),
  kind,
  data: phase ? { phase } : {},
});

describe("phases so far", () => {
  it("last until the next begins, the last one until now", () => {
    const begun = addEvents(
      [],
      [event("claimed", 10), event("phase", 11, "encode"), event("phase", 14, "denoise")],
    );
    expect(phasesSoFar(begun, 20)).toEqual({ encode: 3, denoise: 6 });
  });

  it("go on where they were read before, and begin anew with an attempt", () => {
    const first = addEvents([], [event("claimed", 1), event("phase", 2, "encode")]);
    expect(addEvents(first, [event("progress", 3), event("phase", 4, "denoise")])).toHaveLength(2);
    expect(addEvents(first, [event("claimed", 9), event("phase", 10, "encode")])).toEqual([
      { phase: "encode", at_s: 10 },
    ]);
  });

  it("add up where a phase comes twice, and are never negative", () => {
    const begun = [
      { phase: "decode", at_s: 0 },
      { phase: "save", at_s: 1 },
      { phase: "decode", at_s: 3 },
    ];
    expect(phasesSoFar(begun, 5)).toEqual({ decode: 3, save: 2 });
    expect(phasesSoFar([{ phase: "encode", at_s: 9 }], 8)).toEqual({ encode: 0 });
  });
});
