// A job's samples of its device, measure by measure. Pure, tested beside it.
import type { Schemas } from "@/api/client";

export type DeviceSeries = Schemas["DeviceSeries"];

export interface DeviceSample {
  at_s: number;
  value: number | null;
}

export interface DeviceCourse {
  key: "utilisation" | "memory" | "power";
  samples: DeviceSample[];
}

/** Those of which anything was told: on a processor, or without a driver that tells, none. */
export function deviceCourses(series: DeviceSeries): DeviceCourse[] {
  const told = [
    ["utilisation", series.utilisation],
    ["memory", series.memory_used_bytes],
    ["power", series.power_w],
  ] as const;
  return told
    .filter(([, values]) => values.some((value) => value != null))
    .map(([key, values]) => ({
      key,
      samples: series.at_s.map((at_s, index) => ({ at_s, value: values[index] ?? null })),
    }));
}
