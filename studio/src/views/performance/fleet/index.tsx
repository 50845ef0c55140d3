import { Network } from "lucide-react";
import { useSearchParams } from "wouter";
import { number, percent } from "@/lib/format";
import { useMessages } from "@/messages";
import { Section, Stat } from "@/ui/card";
import { Empty, ErrorState, Skeleton } from "@/ui/states";
import { Segmented } from "@/ui/tabs";
import { isPeriod, PERIODS, type Period } from "../throughput/waits";
import { Costs } from "./costs";
import { Nodes } from "./nodes";
import { byNode, type Fleet, type GroupRow, gpusByState, groupRows } from "./rows";
import { useFleet } from "./use-fleet";

const PERIOD_NAMES = Object.keys(PERIODS) as Period[];

/** All machines at a glance: their GPUs, what these do, how well they are used, what jobs cost. */
export default function FleetPanel() {
  const { fleet: texts, throughput } = useMessages().performance.panels;
  const [params, setParams] = useSearchParams();
  const wish = params.get("period");
  const period: Period = isPeriod(wish) ? wish : "hour";
  const { fleet, workers } = useFleet(period);
  const choose = (next: Period) =>
    setParams(
      (known) => {
        known.set("period", next);
        return known;
      },
      { replace: true },
    );
  return (
    <Section
      id="fleet"
      title={texts.title}
      text={texts.text}
      actions={
        <Segmented
          value={period}
          onChange={choose}
          label={throughput.period}
          options={PERIOD_NAMES.map((value) => ({ value, label: throughput.periods[value] }))}
        />
      }
    >
      {fleet.error && !fleet.data ? (
        <ErrorState error={fleet.error} onRetry={() => void fleet.refetch()} />
      ) : fleet.data ? (
        <Body fleet={fleet.data} rows={groupRows(fleet.data, workers)} />
      ) : (
        <Skeleton className="h-56" />
      )}
    </Section>
  );
}

function Body({ fleet, rows }: { fleet: Fleet; rows: readonly GroupRow[] }) {
  const { fleet: texts, gpus } = useMessages().performance.panels;
  const costs = fleet.use?.costs ?? [];
  if (rows.length === 0 && costs.length === 0)
    return <Empty icon={<Network size={28} />} title={gpus.noWorker} text={gpus.noWorkerHint} />;
  const nodes = byNode(rows);
  return (
    <div className="flex flex-col gap-6">
      <Figures fleet={fleet} rows={rows} numNodes={nodes.length} />
      {rows.length > 0 ? (
        <Nodes nodes={nodes} rows={rows} />
      ) : (
        <p className="text-[13px] text-muted">{gpus.noWorker}</p>
      )}
      {fleet.use ? (
        <Costs costs={costs} />
      ) : (
        <p className="text-[13px] text-muted">{texts.noFigures}</p>
      )}
    </div>
  );
}

interface FiguresProps {
  fleet: Fleet;
  rows: readonly GroupRow[];
  numNodes: number;
}

function Figures({ fleet, rows, numNodes }: FiguresProps) {
  const { fleet: texts, gpus } = useMessages().performance.panels;
  const byState = gpusByState(rows);
  const numGpus = byState.reduce((sum, [, count]) => sum + count, 0);
  const states = byState.map(
    ([state, count]) =>
      `${number(count)} ${(gpus.states[state as keyof typeof gpus.states] ?? state).toLowerCase()}`,
  );
  const use = fleet.use;
  return (
    <div>
      <dl className="grid grid-cols-2 gap-4 sm:grid-cols-3 lg:grid-cols-5">
        <Stat name={texts.machines} value={number(numNodes)} />
        <Stat name={texts.groups} value={number(rows.length)} />
        <Stat
          name={texts.gpus}
          value={number(numGpus)}
          detail={numGpus > 0 ? states.join(", ") : texts.processorsOnly}
        />
        <Stat
          name={texts.utilisation}
          value={percent(use?.utilisation, 1)}
          detail={texts.utilisationHint}
        />
        <Stat name={texts.goodput} value={percent(use?.goodput, 1)} detail={texts.goodputHint} />
      </dl>
      {numGpus === 0 && <p className="mt-3 text-[13px] text-muted">{texts.noGpu}</p>}
    </div>
  );
}
