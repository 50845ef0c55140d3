// What a record's samples say of the device, in the order in which people ask. Pure.
import type { JobRecord } from "./queries";

export interface Measured {
  key: string;
  mean: number | null;
  max: number | null;
}

/** The keys of a record's `device`: mean and highest, in the units that their names tell. */
const DEVICE: readonly (readonly [key: string, mean: string, max: string])[] = [
  ["utilisation", "utilisation_mean", "utilisation_max"],
  ["memory", "memory_used_mean_bytes", "memory_used_max_bytes"],
  ["clock", "sm_clock_mean_mhz", "sm_clock_max_mhz"],
  ["power", "power_mean_w", "power_max_w"],
  ["temperature", "temperature_mean_c", "temperature_max_c"],
];
const HOST: readonly (readonly [key: string, mean: string, max: string])[] = [
  ["cores", "cpu_cores_mean", "cpu_cores_max"],
  ["resident", "resident_mean_bytes", "resident_max_bytes"],
];

const read = (
  values: Record<string, number>,
  wanted: readonly (readonly [string, string, string])[],
): Measured[] =>
  wanted.flatMap(([key, mean, max]) =>
    mean in values || max in values
      ? [{ key, mean: values[mean] ?? null, max: values[max] ?? null }]
      : [],
  );

export const deviceMeasures = (record: JobRecord): Measured[] => read(record.device, DEVICE);
export const hostMeasures = (record: JobRecord): Measured[] => read(record.host, HOST);

/** The newest record whose samples are of this kind of device. */
export function recordOf(device: string, records: readonly JobRecord[]): JobRecord | undefined {
  const kind = device.split(":")[0];
  return records.find((record) => {
    const machine = record.environment.machine as Record<string, unknown> | undefined;
    return String(machine?.device ?? "").split(":")[0] === kind;
  });
}
