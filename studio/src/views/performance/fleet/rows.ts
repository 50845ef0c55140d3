// The fleet as rows, with what is newer in the list of workers. Pure, tested in rows.test.ts.
import type { Schemas, Worker } from "@/api/client";
import { deviceName } from "../gpus/memory";

export type Fleet = Schemas["FleetAnswer"];
export type FleetCost = Schemas["FleetCost"];

export interface GroupRow {
  id: string;
  host: string;
  name: string;
  state: string;
  num_gpus: number;
  num_jobs: number;
  models: string[];
  /** 0 to 1, of the group's first GPU now; null: not told, or a processor. */
  busy: number | null;
  power_w: number | null;
}

/** A row for each group. The stream tells of workers at once: what it says goes before `fleet`. */
export function groupRows(fleet: Fleet, workers: readonly Worker[] | undefined): GroupRow[] {
  const live = workers && new Map(workers.map((worker) => [worker.id, worker]));
  return fleet.nodes.flatMap(({ host, groups }) =>
    groups.flatMap((group) => {
      const worker = live?.get(group.worker_id);
      if (live && !worker) return [];
      const gpu = worker ? worker.gpu : group.gpu;
      return [
        {
          id: group.worker_id,
          host,
          name: worker ? deviceName(worker.device, worker.facts) : group.device,
          state: worker?.state ?? group.state,
          num_gpus: group.num_gpus,
          num_jobs: jobsOf(group, worker),
          models: Object.keys(worker?.resident ?? group.resident).sort(),
          busy: gpu?.utilisation ?? null,
          power_w: gpu?.power_w ?? null,
        },
      ];
    }),
  );
}

/** Whose jobs they are is hidden from some, who then take the number that the fleet tells. */
function jobsOf(group: Schemas["FleetGroup"], worker: Worker | undefined): number {
  if (worker?.state === "idle") return 0;
  return worker?.jobs.length || group.num_jobs;
}

/** Which workers there are: another answer where a group came or went. */
export const membersOf = (workers: readonly Worker[]): string =>
  workers
    .map(({ id }) => id)
    .sort()
    .join(" ");

export interface NodeRows {
  host: string;
  num_gpus: number;
  groups: GroupRow[];
}

/** Rows by machine, in their order. */
export function byNode(rows: readonly GroupRow[]): NodeRows[] {
  const nodes = new Map<string, NodeRows>();
  for (const row of rows) {
    const node = nodes.get(row.host) ?? { host: row.host, num_gpus: 0, groups: [] };
    node.groups.push(row);
    node.num_gpus += row.num_gpus;
    nodes.set(row.host, node);
  }
  return [...nodes.values()];
}

const STATES = ["busy", "idle", "draining", "starting"];

/** GPUs by the state of their worker, those that work first; states without any are left out. */
export function gpusByState(rows: readonly GroupRow[]): [state: string, gpus: number][] {
  const found = new Map<string, number>();
  for (const { state, num_gpus } of rows)
    if (num_gpus > 0) found.set(state, (found.get(state) ?? 0) + num_gpus);
  const place = (state: string) => STATES.indexOf(state) + 1 || STATES.length + 1;
  return [...found].sort(([a], [b]) => place(a) - place(b) || a.localeCompare(b));
}

/** Costs, the dearest first; then what ran without a GPU. */
export const sortedCosts = (costs: readonly FleetCost[]): FleetCost[] =>
  [...costs].sort(
    (a, b) =>
      (b.gpu_s ?? -1) - (a.gpu_s ?? -1) ||
      (b.run_s ?? 0) - (a.run_s ?? 0) ||
      a.job_type.localeCompare(b.job_type),
  );
