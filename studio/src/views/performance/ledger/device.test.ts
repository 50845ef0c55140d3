import { expect, it } from "vitest";
import { deviceCourses } from "./device";

it("draws what was sampled, with its gaps, and nothing that nobody told", () => {
  const courses = deviceCourses({
    at_s: [0.5, 1.5, 2.5],
    utilisation: [0.2, null, 0.9],
    memory_used_bytes: [],
    power_w: [null, null, null],
  });
  expect(courses).toEqual([
    {
      key: "utilisation",
      samples: [
        { at_s: 0.5, value: 0.2 },
        { at_s: 1.5, value: null },
        { at_s: 2.5, value: 0.9 },
      ],
    },
  ]);
});
