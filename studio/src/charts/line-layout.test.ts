// @vitest-environment jsdom
import { describe, expect, it } from "vitest";
import { placeMarks, placePoints, type SeriesMark } from "@/charts/line-layout";

const point = (index: number, value: number | null = 10, isLeftOut = false) => ({
  id: `job_${index}`,
  at: new Date(Date.UTC(2026, 0, 1 + index)).toISOString(),
  value,
  isLeftOut,
});
const points = Array.from({ length: 11 }, (_, index) => point(index));
const frame = { width: 600, top: 30, bottom: 230, spacing: "runs" as const };
const mark = (fields: Partial<SeriesMark>): SeriesMark => ({
  id: "c",
  at: "2026-01-01T00:00:00.000Z",
  text: "+21 %",
  title: "slower",
  tone: "bad",
  ...fields,
});

describe("placePoints", () => {
  it("puts runs at equal distances, or where they lie in time", () => {
    const uneven = [point(0), point(1), point(10)];
    const runs = placePoints(uneven, [], frame).xs;
    expect((runs[1] ?? 0) - (runs[0] ?? 0)).toBeCloseTo((runs[2] ?? 0) - (runs[1] ?? 0));
    const time = placePoints(uneven, [], { ...frame, spacing: "time" }).xs;
    expect((time[1] ?? 0) - (time[0] ?? 0)).toBeLessThan((time[2] ?? 0) - (time[1] ?? 0));
  });

  it("draws the line through what counts", () => {
    const { path } = placePoints(
      [point(0), point(1, 90, true), point(2, null), point(3)],
      [],
      frame,
    );
    expect(path.match(/[ML]/g)).toEqual(["M", "L"]);
  });

  it("holds bands within the picture", () => {
    const { bandBoxes } = placePoints(
      points,
      [{ from: 0, to: 4, low: 8, high: 12, middle: 10 }],
      frame,
    );
    const [band] = bandBoxes;
    expect(band?.top).toBeGreaterThanOrEqual(frame.top);
    expect(band?.bottom).toBeLessThanOrEqual(frame.bottom);
    expect(band?.middle).toBeGreaterThan(band?.top ?? 0);
  });

  it("draws a single run and none", () => {
    expect(placePoints([point(0)], [], frame).xs).toHaveLength(1);
    expect(placePoints([], [], frame).path).toBe("");
  });

  it("writes no moment twice in a row", () => {
    const same = Array.from({ length: 30 }, (_, index) => ({ ...point(0), id: String(index) }));
    expect(placePoints(same, [], frame).timeMarks).toHaveLength(1);
  });
});

describe("placeMarks", () => {
  const { xs } = placePoints(points, [], frame);

  it("lies between the first run of the new level and the one before", () => {
    const [placed] = placeMarks([mark({ pointId: "job_5" })], points, xs, [60, 592]);
    expect(placed?.x).toBeCloseTo(((xs[4] ?? 0) + (xs[5] ?? 0)) / 2);
    expect(placed?.place).toBe("middle");
  });

  it("falls back to the moment, and lies on the first run where nothing is before", () => {
    const [byTime] = placeMarks([mark({ at: points[3]?.at ?? "" })], points, xs, [60, 592]);
    expect(byTime?.x).toBeCloseTo(((xs[2] ?? 0) + (xs[3] ?? 0)) / 2);
    const [first] = placeMarks([mark({ pointId: "job_0" })], points, xs, [60, 592]);
    expect([first?.x, first?.place]).toEqual([xs[0], "start"]);
  });

  it("leaves out what happened after the last run shown", () => {
    expect(placeMarks([mark({ at: "2027-01-01" })], points, xs, [60, 592])).toEqual([]);
  });

  it("turns a text inwards at the right edge", () => {
    const [placed] = placeMarks([mark({ pointId: "job_10" })], points, xs, [60, 576]);
    expect(placed?.place).toBe("end");
  });

  it("keeps a change's text before one of the change log beside it", () => {
    const placed = placeMarks(
      [
        mark({ id: "log", pointId: "job_5", text: "torch", tone: "quiet" }),
        mark({ pointId: "job_5" }),
      ],
      points,
      xs,
      [60, 592],
    );
    const labels = new Map(placed.map((each) => [each.mark.id, each.label]));
    expect([labels.get("c"), labels.get("log")]).toEqual(["+21 %", null]);
  });
});
