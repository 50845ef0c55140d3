import { expect, it } from "vitest";
import type { MatrixRow } from "@/views/performance/queries";
import { coverageOf, intervalText, isEstablished, measuredText } from "./coverage";

const row = (job_type: string, status: MatrixRow["status"], n: number): MatrixRow =>
  ({ job_type, status, n }) as MatrixRow;

it("counts a job type by its best baseline", () => {
  const covered = coverageOf([
    row("a", "in_progress", 3),
    row("a", "established", 6),
    row("a", "in_progress", 4),
    row("b", "in_progress", 1),
    row("b", "in_progress", 2),
    row("c", "pending", 0),
  ]);
  expect(covered).toEqual([
    { job_type: "a", status: "established", n: 6 },
    { job_type: "b", status: "in_progress", n: 2 },
    { job_type: "c", status: "pending", n: 0 },
  ]);
  expect(covered.filter(isEstablished)).toHaveLength(1);
});

it("writes figures with their units", () => {
  expect(measuredText({ value: 6.4, unit: "s" })).toBe("6.4 s");
  expect(measuredText({ value: 93.75, unit: "%" })).toBe("93.8 %");
  expect(measuredText({ value: 3, unit: "job types" })).toBe("3 job types");
  expect(measuredText({ value: 1, unit: "GPUs" })).toBe("1 GPU");
  expect(measuredText(null)).toBe("–");
  expect(intervalText(null)).toBeNull();
});
