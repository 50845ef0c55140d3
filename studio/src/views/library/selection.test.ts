import { beforeEach, describe, expect, it } from "vitest";
import { between, useSelection } from "@/views/library/selection";

const ORDER = ["a", "b", "c", "d", "e"];
const selected = () => [...useSelection.getState().ids].sort();

beforeEach(() => useSelection.setState({ ids: new Set(), anchor: null, active: null }));

describe("between", () => {
  it("takes both ends, in both directions", () => {
    expect(between(ORDER, "b", "d")).toEqual(["b", "c", "d"]);
    expect(between(ORDER, "d", "b")).toEqual(["b", "c", "d"]);
    expect(between(ORDER, "c", "c")).toEqual(["c"]);
  });

  it("takes the one alone where the range has no known begin", () => {
    expect(between(ORDER, null, "c")).toEqual(["c"]);
    expect(between(ORDER, "gone", "c")).toEqual(["c"]);
    expect(between(ORDER, "a", "gone")).toEqual([]);
  });
});

describe("selection", () => {
  it("toggles, and extends from where it was toggled last", () => {
    const { toggle, extend } = useSelection.getState();
    toggle("b");
    extend(ORDER, "d");
    expect(selected()).toEqual(["b", "c", "d"]);
    extend(ORDER, "a");
    expect(selected()).toEqual(["a", "b", "c", "d"]);
    toggle("c");
    expect(selected()).toEqual(["a", "b", "d"]);
  });

  it("extends from the active one where nothing was toggled", () => {
    useSelection.getState().setActive("d");
    useSelection.getState().extend(ORDER, "e");
    expect(selected()).toEqual(["d", "e"]);
  });

  it("forgets what is gone, and keeps the same set where nothing is", () => {
    useSelection.getState().add(["a", "b"]);
    const before = useSelection.getState().ids;
    useSelection.getState().keep(new Set(ORDER));
    expect(useSelection.getState().ids).toBe(before);
    useSelection.getState().keep(new Set(["b"]));
    expect(selected()).toEqual(["b"]);
  });
});
