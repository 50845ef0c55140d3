// What a record's samples say of the device, in the order in which people ask. Pure.
import type { Worker } from "@/api/client";
import type { JobRecord, Ran } from "./queries";

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

type Place = Pick<Worker, "id" | "device">;

/**
 * The newest record of a job that this worker ran: samples of another one are of another device.
 * Where it has run none since it was started, one of its kind, as long as no other is of its kind.
 */
export function recordOf(
  worker: Place,
  workers: readonly Place[],
  runs: readonly Ran[],
): JobRecord | undefined {
  const own = runs.find((each) => each.worker_id === worker.id);
  if (own) return own.record;
  const kind = kindOf(worker.device);
  const alike = workers.filter((each) => kindOf(each.device) === kind);
  if (alike.length > 1) return undefined;
  return runs.find(({ record }) => {
    const machine = record.environment.machine as Record<string, unknown> | undefined;
    return kindOf(String(machine?.device ?? "")) === kind;
  })?.record;
}

const kindOf = (device: string): string => device.split(":")[0] ?? "";

/** What a GPU does now, as its worker told at its last beat. */
export function liveMeasures(gpu: NonNullable<Worker["gpu"]>): Measured[] {
  const values = {
    utilisation: gpu.utilisation,
    memory: gpu.memory_used_bytes,
    power: gpu.power_w,
    temperature: gpu.temperature_c,
  };
  return Object.entries(values).flatMap(([key, mean]) =>
    mean === null ? [] : [{ key, mean, max: null }],
  );
}
