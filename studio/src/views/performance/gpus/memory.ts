// What fills a device, and what its worker measured. Pure, tested in memory.test.ts.
import type { Schemas } from "@/api/client";

export type WorkerMemory = Schemas["WorkerMemory"];
export type PlacedComponent = Schemas["PlacedComponent"];

export const MEMORY_PARTS = ["weights", "derived", "arriving", "activations", "free"] as const;
export type MemoryPart = (typeof MEMORY_PARTS)[number];

export interface MemorySlice {
  part: MemoryPart;
  bytes: number;
  share: number;
}

/** Slices of the bar. Without a budget the bar ends with what is planned, and nothing is free. */
export function memorySlices(memory: WorkerMemory): MemorySlice[] {
  const found = MEMORY_PARTS.map((part) => ({
    part,
    bytes: Math.max(0, memory[`${part}_bytes`]),
  })).filter(({ part, bytes }) => bytes > 0 && (part !== "free" || memory.budget_bytes > 0));
  const sum = found.reduce((total, { bytes }) => total + bytes, 0);
  const whole = Math.max(memory.budget_bytes, sum) || 1;
  return found.map((slice) => ({ ...slice, share: slice.bytes / whole }));
}

const PLACES = ["device", "host", "page_cache", "disk"] as const;

/** By model, then as near to the device as it gets, then the largest. */
export function sortedComponents(components: readonly PlacedComponent[]): PlacedComponent[] {
  return [...components].sort(
    (a, b) =>
      a.model.localeCompare(b.model) ||
      PLACES.indexOf(a.place) - PLACES.indexOf(b.place) ||
      b.bytes - a.bytes,
  );
}

export interface GpuFacts {
  name: string;
  memory_gib: number | null;
  driver: string | null;
}

/** The GPUs that a worker told of. */
export function gpuFacts(facts: Record<string, unknown>): GpuFacts[] {
  const gpus = Array.isArray(facts.gpus) ? (facts.gpus as Record<string, unknown>[]) : [];
  return gpus.map((gpu) => ({
    name: typeof gpu.name === "string" ? gpu.name : "GPU",
    memory_gib: typeof gpu.memory_gib === "number" ? gpu.memory_gib : null,
    driver: typeof gpu.driver === "string" ? gpu.driver : null,
  }));
}

export const isCpu = (device: string): boolean => !/^(cuda|hip|xpu|mps)/.test(device);

/** The name of a worker's device: of its GPU, or of the processor. */
export function deviceName(device: string, facts: Record<string, unknown>): string {
  if (isCpu(device)) return typeof facts.cpu === "string" ? facts.cpu : device;
  const index = Number(/:(\d+)$/.exec(device)?.[1] ?? 0);
  const gpus = gpuFacts(facts);
  return (gpus[index] ?? gpus[0])?.name ?? device;
}
