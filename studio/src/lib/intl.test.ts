import { expect, it, vi } from "vitest";
import { dateFormat, numberFormat } from "@/lib/intl";

it("makes a formatter once for a language and its options", () => {
  const make = vi.spyOn(Intl, "NumberFormat");
  const digits = { maximumFractionDigits: 1 };
  const texts = [1.26, 2.26, 3.26].map((value) => numberFormat("en", { ...digits }).format(value));
  expect(texts).toEqual(["1.3", "2.3", "3.3"]);
  expect(make).toHaveBeenCalledTimes(1);
  make.mockRestore();
});

it("tells languages and options apart", () => {
  const two = { minimumFractionDigits: 2 };
  expect(numberFormat("de", two).format(1.5)).toBe("1,50");
  expect(numberFormat("en", two).format(1.5)).toBe("1.50");
  expect(numberFormat("en").format(1.5)).toBe("1.5");
  const at = new Date(Date.UTC(2026, 0, 2));
  expect(dateFormat("en", { year: "numeric", timeZone: "UTC" }).format(at)).toBe("2026");
});
