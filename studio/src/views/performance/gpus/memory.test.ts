import { describe, expect, it } from "vitest";
import { deviceName, memorySlices, sortedComponents, type WorkerMemory } from "./memory";

const memory = (values: Partial<WorkerMemory>): WorkerMemory => ({
  level: "ok",
  budget_bytes: 100,
  weights_bytes: 0,
  derived_bytes: 0,
  arriving_bytes: 0,
  activations_bytes: 0,
  free_bytes: 0,
  host_bytes: 0,
  host_budget_bytes: 0,
  components: [],
  ...values,
});

describe("memorySlices", () => {
  it("fills the budget", () => {
    const slices = memorySlices(
      memory({ weights_bytes: 50, activations_bytes: 20, free_bytes: 30 }),
    );
    expect(slices.map(({ part, share }) => [part, share])).toEqual([
      ["weights", 0.5],
      ["activations", 0.2],
      ["free", 0.3],
    ]);
  });

  it("never draws less than nothing, nor more than all", () => {
    const slices = memorySlices(
      memory({ weights_bytes: 90, activations_bytes: 30, free_bytes: -20 }),
    );
    expect(slices.map(({ part }) => part)).toEqual(["weights", "activations"]);
    expect(slices.reduce((sum, { share }) => sum + share, 0)).toBe(1);
  });

  it("shows no free memory where no limit is known", () => {
    const slices = memorySlices(memory({ budget_bytes: 0, weights_bytes: 10, free_bytes: 5 }));
    expect(slices).toEqual([{ part: "weights", bytes: 10, share: 1 }]);
  });
});

it("sorts components by model, place and size", () => {
  const part = (model: string, name: string, place: "device" | "disk", bytes: number) => ({
    model,
    name,
    place,
    bytes,
  });
  const sorted = sortedComponents([
    part("b", "vae", "device", 1),
    part("a", "vae", "disk", 9),
    part("a", "unet", "device", 5),
    part("a", "text", "device", 7),
  ]);
  expect(sorted.map(({ model, name }) => `${model}/${name}`)).toEqual([
    "a/text",
    "a/unet",
    "a/vae",
    "b/vae",
  ]);
});

it("names the device", () => {
  const gpus = [{ name: "H100" }, { name: "H200", memory_gib: 139 }];
  expect(deviceName("cuda:1", { gpus })).toBe("H200");
  expect(deviceName("cuda", { gpus })).toBe("H100");
  expect(deviceName("cpu", { cpu: "EPYC", gpus: [] })).toBe("EPYC");
  expect(deviceName("cuda:0", {})).toBe("cuda:0");
});
