import type { Job } from "@/api/client";
import type { Messages } from "@/messages";
import type { Column } from "@/ui/data-table";
import { parameterName } from "@/views/grid/builder/names";
import { valueOn } from "@/views/grid/logic/cells";
import type { Axis } from "@/views/grid/logic/parameters";
import { workOf } from "@/views/grid/logic/scale";

/** A row for each job: where it stands, and what came of it. */
export function csvColumns(axes: readonly Axis[], messages: Messages): Column<Job>[] {
  const names = messages.grid.columns;
  return [
    ...axes.map(
      ({ name }): Column<Job> => ({
        key: name,
        name: parameterName(name, messages),
        value: (job) => valueOn(job, name),
      }),
    ),
    { key: "state", name: names.state, value: (job) => job.state },
    { key: "total", name: names.total, value: (job) => job.ledger?.total_s ?? null },
    { key: "work", name: names.work, value: workOf },
    { key: "step", name: names.step, value: (job) => job.ledger?.step_s ?? null },
    { key: "stars", name: names.stars, value: (job) => job.rating?.stars ?? null },
    { key: "tags", name: names.tags, value: (job) => job.rating?.tags.join(" ") ?? null },
    { key: "job_seed", name: names.seed, value: (job) => job.seed },
    { key: "job", name: names.job, value: (job) => job.id },
  ];
}
