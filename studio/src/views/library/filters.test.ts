import { describe, expect, it } from "vitest";
import {
  type Filters,
  isNarrowed,
  libraryFilter,
  NO_FILTERS,
  readFilters,
  writeFilters,
} from "@/views/library/filters";

const SOME: Filters = {
  text: "red circle & more",
  media: "video",
  type: "video_fast",
  state: "all",
  since: "week",
  sort: "old",
  isFavourite: true,
};

describe("filters in the address", () => {
  it("come back as they were written", () => {
    const written = writeFilters(new URLSearchParams(), SOME).toString();
    expect(readFilters(new URLSearchParams(written))).toEqual(SOME);
  });

  it("leave no trace where they are the usual ones, and keep other parameters", () => {
    const before = writeFilters(new URLSearchParams("other=1"), SOME);
    expect(writeFilters(before, NO_FILTERS).toString()).toBe("other=1");
  });

  it("fall back to the usual for what no filter knows", () => {
    expect(readFilters(new URLSearchParams("media=sound&state=&sort=x"))).toEqual(NO_FILTERS);
  });
});

describe("libraryFilter", () => {
  it("asks for what is done, of generation only", () => {
    expect(libraryFilter(NO_FILTERS)).toEqual({ kind: ["generate"], state: ["succeeded"] });
  });

  it("asks for everything that is set", () => {
    const now = new Date(2026, 10, 22, 14, 30);
    expect(libraryFilter(SOME, now)).toEqual({
      kind: ["generate"],
      state: ["succeeded", "failed", "cancelled"],
      text: "red circle & more",
      media_type: "video/mp4",
      job_type: ["video_fast"],
      is_favourite: true,
      created_after: new Date(2026, 10, 16).toISOString(),
      is_oldest_first: true,
    });
  });

  it("asks the same all day", () => {
    const filters: Filters = { ...NO_FILTERS, since: "day" };
    const morning = libraryFilter(filters, new Date(2026, 10, 22, 1));
    expect(libraryFilter(filters, new Date(2026, 10, 22, 23))).toEqual(morning);
  });
});

describe("isNarrowed", () => {
  it("counts filters, not the order", () => {
    expect(isNarrowed(NO_FILTERS)).toBe(false);
    expect(isNarrowed({ ...NO_FILTERS, sort: "old" })).toBe(false);
    expect(isNarrowed({ ...NO_FILTERS, state: "all" })).toBe(true);
  });
});
