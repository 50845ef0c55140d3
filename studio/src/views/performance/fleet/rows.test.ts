import { describe, expect, it } from "vitest";
import type { Worker } from "@/api/client";
import {
  byNode,
  type Fleet,
  type FleetCost,
  gpusByState,
  groupRows,
  membersOf,
  sortedCosts,
} from "./rows";

type Group = Fleet["nodes"][number]["groups"][number];

const group = (worker_id: string, fields: Partial<Group> = {}): Group => ({
  worker_id,
  device: "cuda:0",
  state: "idle",
  num_gpus: 1,
  num_jobs: 0,
  resident: {},
  budget_bytes: null,
  weights_bytes: null,
  gpu: null,
  ...fields,
});

const fleet = (nodes: Record<string, Group[]>): Fleet => ({
  nodes: Object.entries(nodes).map(([host, groups]) => ({ host, num_gpus: 0, groups })),
  num_groups: 0,
  num_gpus: 0,
  gpus_by_state: {},
  resident: {},
  use: null,
});

const worker = (id: string, fields: Partial<Worker> = {}): Worker =>
  ({
    id,
    device: "cuda:0",
    state: "busy",
    resident: { wan: 5 },
    jobs: ["job_1"],
    gpu: { utilisation: 0.9, memory_used_bytes: 1, power_w: 600, temperature_c: null },
    facts: { gpus: [{ name: "H200" }] },
    ...fields,
  }) as Worker;

const two = fleet({
  one: [group("a", { num_gpus: 4, resident: { wan: 5, sdxl: 2 } }), group("b")],
  two: [group("c", { num_gpus: 0, device: "cpu" })],
});

describe("groupRows", () => {
  it("tells what the fleet says while workers are being read", () => {
    const rows = groupRows(two, undefined);
    expect(rows.map(({ id, host, num_gpus }) => [id, host, num_gpus])).toEqual([
      ["a", "one", 4],
      ["b", "one", 1],
      ["c", "two", 0],
    ]);
    expect(rows[0]).toMatchObject({ name: "cuda:0", models: ["sdxl", "wan"], busy: null });
  });

  it("puts the news of workers first, and leaves out who is gone", () => {
    const rows = groupRows(two, [
      worker("a"),
      worker("c", { device: "cpu", gpu: null, facts: {} }),
    ]);
    expect(rows).toHaveLength(2);
    expect(rows[0]).toEqual({
      id: "a",
      host: "one",
      name: "H200",
      state: "busy",
      num_gpus: 4,
      num_jobs: 1,
      models: ["wan"],
      busy: 0.9,
      power_w: 600,
    });
    expect(rows[1]).toMatchObject({ id: "c", num_gpus: 0, busy: null, power_w: null });
  });
});

it("counts jobs that are running now, also where they are hidden", () => {
  const known = fleet({ one: [group("a", { num_jobs: 2 })] });
  const count = (fields: Partial<Worker>) => groupRows(known, [worker("a", fields)])[0]?.num_jobs;
  expect(count({})).toBe(1);
  expect(count({ state: "idle", jobs: [] })).toBe(0);
  expect(count({ jobs: [] })).toBe(2);
});

it("gathers rows by machine and counts GPUs", () => {
  const nodes = byNode(groupRows(two, undefined));
  expect(nodes.map(({ host, num_gpus, groups }) => [host, num_gpus, groups.length])).toEqual([
    ["one", 5, 2],
    ["two", 0, 1],
  ]);
});

it("counts GPUs by state, those that work first, and no processors", () => {
  const rows = groupRows(
    fleet({
      one: [
        group("a", { state: "elsewhere" }),
        group("b", { num_gpus: 2 }),
        group("c", { state: "busy", num_gpus: 4 }),
        group("d", { state: "draining", num_gpus: 0 }),
        group("e", { state: "busy" }),
      ],
    }),
    undefined,
  );
  expect(gpusByState(rows)).toEqual([
    ["busy", 5],
    ["idle", 2],
    ["elsewhere", 1],
  ]);
});

it("notices who came and went, not in which order they are told", () => {
  expect(membersOf([worker("b"), worker("a")])).toBe(membersOf([worker("a"), worker("b")]));
  expect(membersOf([worker("a")])).not.toBe(membersOf([worker("a"), worker("b")]));
});

it("puts the dearest first and what had no GPU last", () => {
  const cost = (job_type: string, gpu_s: number | null, run_s: number | null): FleetCost => ({
    job_type,
    num_jobs: 1,
    run_s,
    gpu_s,
    watt_hours: null,
    num_measured: 0,
  });
  const sorted = sortedCosts([
    cost("a", null, 5),
    cost("b", 3, 3),
    cost("c", null, 9),
    cost("d", 40, 10),
    cost("e", 0, 1),
  ]);
  expect(sorted.map(({ job_type }) => job_type)).toEqual(["d", "b", "e", "c", "a"]);
});
