import { useQuery } from "@tanstack/react-query";
import { queueQuery } from "@/api/queries";
import { LiveSeries } from "@/charts/live-series";
import { duration, fullMoment, number } from "@/lib/format";
import { useMessages } from "@/messages";
import { Stat } from "@/ui/card";
import { ChartFrame } from "@/ui/chart-frame";
import type { Column } from "@/ui/data-table";
import { type DepthSample, useDepth, withLeadIn } from "./depth";

/** The queue now, and how deep it was since the page was opened. */
export function LiveDepth() {
  const messages = useMessages();
  const texts = messages.performance.panels.throughput;
  const { data: queue, dataUpdatedAt } = useQuery(queueQuery);
  const samples = useDepth();
  const oldest = queue?.oldest_queued_s;
  const since_s = Math.max(0, (Date.now() - dataUpdatedAt) / 1000);
  const shown = withLeadIn(samples);
  const last = samples.at(-1);
  const columns: Column<DepthSample>[] = [
    { key: "at", name: texts.at, value: (row) => fullMoment(row.at_s) },
    { key: "waiting", name: texts.waiting, value: (row) => row.waiting, isNumeric: true },
    { key: "running", name: texts.running, value: (row) => row.running, isNumeric: true },
  ];
  return (
    <div className="grid grid-cols-1 gap-4 lg:grid-cols-[15rem_minmax(0,1fr)] lg:gap-8">
      <dl className="grid grid-cols-2 content-start gap-x-4 gap-y-4">
        <Stat name={texts.waiting} value={number(queue?.by_state.queued ?? 0)} />
        <Stat name={texts.running} value={number(queue?.by_state.running ?? 0)} />
        <Stat
          name={texts.oldest}
          value={oldest == null ? texts.none : duration(oldest + since_s)}
        />
        <Stat
          name={texts.emptyIn}
          value={queue?.empty_in?.seconds ? duration(queue.empty_in.seconds) : texts.none}
        />
      </dl>
      <ChartFrame
        title={texts.depth}
        summary={texts.depthSummary(last?.waiting ?? 0, last?.running ?? 0)}
        columns={columns}
        rows={samples}
        rowKey={(row) => String(row.at_s)}
      >
        <LiveSeries
          times={shown.map((each) => each.at_s)}
          lines={[
            {
              name: texts.waiting,
              values: shown.map((each) => each.waiting),
              colour: "--phase-wait",
            },
            {
              name: texts.running,
              values: shown.map((each) => each.running),
              colour: "--accent",
            },
          ]}
          label={texts.depthSummary(last?.waiting ?? 0, last?.running ?? 0)}
          height={150}
          min={0}
          format={wholeOnly}
        />
        <ul className="mt-1 flex gap-4 text-xs text-muted">
          <Key colour="var(--phase-wait)" name={texts.waiting} />
          <Key colour="var(--accent)" name={texts.running} />
        </ul>
      </ChartFrame>
    </div>
  );
}

/** Jobs come whole: ticks between are left blank. */
const wholeOnly = (value: number) => (Number.isInteger(value) ? number(value) : "");

function Key({ colour, name }: { colour: string; name: string }) {
  return (
    <li className="flex items-center gap-1.5">
      <span aria-hidden className="h-0.5 w-4 rounded" style={{ background: colour }} />
      {name}
    </li>
  );
}
