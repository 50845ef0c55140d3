import { expect, it } from "vitest";
import { change, series } from "@/views/performance/fixtures";
import type { Decision } from "@/views/performance/queries";
import { withDecision } from "@/views/performance/trends/with-decision";

it("shows a decision at its change, and takes it away again", () => {
  const other = series({ id: "s-2" });
  const page = { data: [series({ changes: [change()] }), other], next_cursor: null, newest: 1 };
  const pages = { pages: [page], pageParams: [undefined] };
  const decided = withDecision(pages, "c-1", { id: "dec_1", verb: "ignore" } as Decision);
  expect(decided.pages[0]?.data[0]?.changes[0]?.decision?.id).toBe("dec_1");
  expect(decided.pages[0]?.data[1]).toBe(other);
  expect(withDecision(decided, "c-1", null).pages[0]?.data[0]?.changes[0]?.decision).toBeNull();
});
