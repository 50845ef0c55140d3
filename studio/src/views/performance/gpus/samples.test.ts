import { expect, it } from "vitest";
import type { JobRecord } from "./queries";
import { deviceMeasures, hostMeasures, recordOf } from "./samples";

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

it("finds the newest record of the same kind of device", () => {
  const records = [record("cpu", {}), record("cuda:0", {})];
  expect(recordOf("cuda:1", records)).toBe(records[1]);
  expect(recordOf("mps", records)).toBeUndefined();
});
