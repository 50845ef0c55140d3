import { describe, expect, it } from "vitest";
import { change, series } from "@/views/performance/fixtures";
import {
  candidatesOf,
  changeStarts,
  differencesOf,
  levels,
  logOf,
  measuresOf,
  quantile,
  seriesMarks,
  seriesPoints,
} from "@/views/performance/trends/marks";

const words = { change: () => "Slower", candidate: "Candidate" };

describe("levels", () => {
  it("lie between the changes of the measure", () => {
    const points = seriesPoints(series(), "total");
    const starts = changeStarts(points, [change()], "total");
    expect(starts).toEqual([5]);
    expect(levels(points, starts)).toMatchObject([
      { from: 0, to: 4, middle: 10 },
      { from: 5, to: 9, middle: 12 },
    ]);
  });

  it("are one where the measure did not change", () => {
    const points = seriesPoints(series(), "denoise");
    expect(changeStarts(points, [change()], "denoise")).toEqual([]);
    expect(levels(points, [])).toMatchObject([{ from: 0, to: 9, middle: 8 }]);
  });

  it("leave out runs that don't count, and need three", () => {
    const history = series();
    const points = seriesPoints(history, "total").map((point, index) => ({
      ...point,
      isLeftOut: index > 1,
    }));
    expect(levels(points, [])).toEqual([]);
  });

  it("interpolate", () => {
    expect(quantile([1, 2, 3, 4], 0.5)).toBe(2.5);
    expect(quantile([7], 0.75)).toBe(7);
  });
});

describe("marks", () => {
  it("tell the shift of the measure shown, where it begins in that measure", () => {
    const found = seriesMarks(
      series({ changes: [change({ at_record: "job_6" })] }),
      "total",
      words,
    );
    expect(found).toMatchObject([
      { id: "c-1", pointId: "job_5", text: "+21 %", tone: "bad", title: "Slower: total +21.2%" },
    ]);
  });

  it("are quiet about a change of other measures, and about one that was ignored", () => {
    const history = series({ changes: [change()] });
    expect(seriesMarks(history, "denoise", words)[0]).toMatchObject({
      text: "",
      tone: "neutral",
      pointId: "job_5",
    });
    const ignored = change({
      decision: { verb: "ignore" } as NonNullable<ReturnType<typeof change>["decision"]>,
    });
    expect(seriesMarks(series({ changes: [ignored] }), "total", words)[0]?.tone).toBe("neutral");
  });

  it("show candidates of this measure only", () => {
    const history = series({
      candidates: [
        { measure: "total", at: "2026-01-09", at_record: "job_8", shift: 0.3, text: "too few" },
        { measure: "step", at: "2026-01-09", at_record: "job_8", shift: 0.3, text: "too few" },
        { measure: 5 },
      ],
    });
    expect(candidatesOf(history)).toHaveLength(2);
    expect(seriesMarks(history, "total", words)).toMatchObject([
      { id: "candidate-job_8", text: "Candidate", title: "too few" },
    ]);
  });

  it("name the change log by its last word, once beside a change", () => {
    const log = {
      kind: "version",
      name: "software.torch",
      before: "1",
      after: "2",
      text: "torch 1 -> 2",
    };
    const history = series({
      changes: [change()],
      marks: [
        { ...log, at: "2026-01-06T00:00:00+00:00" },
        { ...log, at: "2026-01-03T00:00:00+00:00" },
        { at: 5 },
      ],
    });
    expect(logOf(history)).toHaveLength(2);
    const quiet = seriesMarks(history, "total", words).filter((mark) => mark.tone === "quiet");
    expect(quiet).toMatchObject([{ text: "torch", title: "torch 1 -> 2" }]);
  });
});

it("reads the environment of both sides", () => {
  const told = {
    kind: "driver",
    name: "software.driver",
    before: ["560", null],
    after: ["565"],
    is_at_change: true,
  };
  expect(differencesOf(change({ differences: [told] }))).toEqual([
    { name: "software.driver", before: "560, –", after: "565", isAtChange: true },
  ]);
});

it("lists measures, the whole job first", () => {
  expect(measuresOf([series()])).toEqual(["total", "denoise"]);
});
