import { number, percent, title } from "@/lib/format";
import { useMessages } from "@/messages";
import { Badge, type Tone } from "@/ui/badge";
import { ChartFrame } from "@/ui/chart-frame";
import type { Column } from "@/ui/data-table";
import type { GroupRow, NodeRows } from "./rows";

const TONES: Record<string, Tone> = { idle: "good", busy: "accent", draining: "warn" };
const WIDEST = 8; // GPUs of a group
const GPU_REM = 1.75;
const LEAST_REM = 10;

/** Each machine with its groups, wider for more GPUs. */
export function Nodes({ nodes, rows }: { nodes: readonly NodeRows[]; rows: readonly GroupRow[] }) {
  const texts = useMessages().performance.panels.fleet;
  const stateName = useStateName();
  const columns: Column<GroupRow>[] = [
    { key: "host", name: texts.machine, value: (row) => row.host },
    { key: "worker", name: texts.worker, value: (row) => row.id },
    { key: "device", name: texts.device, value: (row) => row.name },
    { key: "gpus", name: texts.gpus, value: (row) => row.num_gpus, isNumeric: true },
    { key: "state", name: texts.state, value: (row) => stateName(row.state) },
    { key: "jobs", name: texts.jobs, value: (row) => row.num_jobs, isNumeric: true },
    { key: "models", name: texts.models, value: (row) => row.models.join(", ") || null },
    {
      key: "busy",
      name: texts.busyNow,
      value: (row) => row.busy,
      cell: (row) => percent(row.busy),
      isNumeric: true,
    },
    {
      key: "power",
      name: texts.power,
      value: (row) => row.power_w,
      cell: (row) => number(row.power_w),
      isNumeric: true,
    },
  ];
  return (
    <ChartFrame
      title={texts.nodesTitle}
      summary={texts.nodesSummary(
        nodes.length,
        rows.length,
        rows.filter((row) => row.state === "busy").length,
      )}
      columns={columns}
      rows={rows}
      rowKey={(row) => row.id}
    >
      <ul className="flex flex-col gap-4">
        {nodes.map((node) => (
          <li key={node.host}>
            <p className="text-[13px]">
              <span className="font-medium">{node.host}</span>{" "}
              <span className="text-muted">
                {texts.nodeHolds(node.num_gpus, node.groups.length)}
              </span>
            </p>
            <ul className="mt-1.5 flex flex-wrap gap-2">
              {node.groups.map((group) => (
                <Group key={group.id} group={group} stateName={stateName(group.state)} />
              ))}
            </ul>
          </li>
        ))}
      </ul>
    </ChartFrame>
  );
}

function Group({ group, stateName }: { group: GroupRow; stateName: string }) {
  const texts = useMessages().performance.panels.fleet;
  const told = [
    ...(group.busy === null ? [] : [percent(group.busy)]),
    ...(group.power_w === null ? [] : [`${number(group.power_w)} W`]),
  ];
  const width = Math.max(LEAST_REM, GPU_REM * Math.min(WIDEST, group.num_gpus));
  return (
    <li
      className="max-w-full rounded-lg border border-line bg-sunken px-2.5 py-2 text-xs"
      style={{ width: `${width}rem` }}
    >
      <div className="flex items-center justify-between gap-2">
        <span className="font-medium">
          {group.num_gpus > 0 ? texts.gpusOf(group.num_gpus) : texts.processor}
        </span>
        <Badge tone={TONES[group.state] ?? "neutral"}>{stateName}</Badge>
      </div>
      <p className="mt-1 truncate" title={group.name}>
        {group.name}
      </p>
      <p className="mt-0.5 break-words text-muted">
        {group.models.length > 0 ? group.models.join(", ") : texts.holdsNothing}
      </p>
      {told.length > 0 && <p className="numeric mt-0.5 text-muted">{told.join(" · ")}</p>}
    </li>
  );
}

function useStateName(): (state: string) => string {
  const { states } = useMessages().performance.panels.gpus;
  return (state) => states[state as keyof typeof states] ?? title(state);
}
