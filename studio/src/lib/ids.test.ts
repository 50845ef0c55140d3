import { afterEach, expect, it, vi } from "vitest";
import { newId } from "@/lib/ids";

afterEach(() => vi.unstubAllGlobals());

it("makes UUIDs where the page is no secure context", () => {
  const real = crypto;
  vi.stubGlobal("crypto", { getRandomValues: real.getRandomValues.bind(real) });
  const ids = Array.from({ length: 50 }, newId);
  for (const id of ids)
    expect(id).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
  expect(new Set(ids).size).toBe(50);
});
