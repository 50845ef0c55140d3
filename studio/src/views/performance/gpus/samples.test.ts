import { describe, expect, it } from "vitest";
import type { JobRecord } from "./queries";
import { deviceMeasures, hostMeasures, liveMeasures, recordOf } from "./samples";

const record = (device: string, values: Partial<JobRecord>): JobRecord =>
  ({ environment: { machine: { device } }, device: {}, host: {}, ...values }) as JobRecord;

it("reads what was sampled, and nothing else", () => {
  const one = record("cuda", {
    device: { utilisation_mean: 0.9, utilisation_max: 1, power_mean_w: 400, samples: 10 },
    host: { cpu_cores_mean: 1.2, samples: 10 },
  });
  expect(deviceMeasures(one)).toEqual([
    { key: "utilisation", mean: 0.9, max: 1 },
    { key: "power", mean: 400, max: null },
  ]);
  expect(hostMeasures(one)).toEqual([{ key: "cores", mean: 1.2, max: null }]);
  expect(deviceMeasures(record("cpu", {}))).toEqual([]);
});

describe("recordOf", () => {
  const [a, b] = [
    { id: "a", device: "cuda:0" },
    { id: "b", device: "cuda:1" },
  ];
  const ran = (worker_id: string | null, device = "cuda") => ({
    worker_id,
    record: record(device, {}),
  });

  it("finds the newest that the worker itself ran", () => {
    const runs = [ran("b"), ran("a"), ran("a")];
    expect(recordOf(a, [a, b], runs)).toBe(runs[1]?.record);
    expect(recordOf(b, [a, b], runs)).toBe(runs[0]?.record);
  });

  it("shows no samples of another GPU", () => {
    expect(recordOf(b, [a, b], [ran("a"), ran(null)])).toBeUndefined();
  });

  it("goes by the kind of device where no other worker has it", () => {
    const runs = [ran("gone", "cpu"), ran("gone", "cuda")];
    expect(recordOf(a, [a, { id: "c", device: "cpu" }], runs)).toBe(runs[1]?.record);
    expect(recordOf({ id: "m", device: "mps" }, [], runs)).toBeUndefined();
  });
});

it("tells of a GPU now what its driver told", () => {
  const gpu = { utilisation: 0.5, memory_used_bytes: null, power_w: 0, temperature_c: 61 };
  expect(liveMeasures(gpu).map((each) => [each.key, each.mean])).toEqual([
    ["utilisation", 0.5],
    ["power", 0],
    ["temperature", 61],
  ]);
});
