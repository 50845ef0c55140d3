import { useQuery } from "@tanstack/react-query";
import { title } from "@/lib/format";
import { useMessages } from "@/messages";
import { Choice } from "@/views/performance/choice";
import { matrixQuery, type Series } from "@/views/performance/queries";
import { measuresOf } from "@/views/performance/trends/marks";
import { ALL_JOB_TYPES, type TrendView } from "@/views/performance/trends/use-trend-view";
import { measureName, stateName } from "@/views/performance/words";

const STATES = ["cold", "warm", "resident"];

export function TrendFilters({ view, series }: { view: TrendView; series: readonly Series[] }) {
  const messages = useMessages();
  const words = messages.performance.trends;
  const { data: matrix } = useQuery(matrixQuery);
  const rows = matrix?.rows.filter((row) => row.series) ?? [];
  const jobTypes = new Set([...rows.map((row) => row.job_type)]);
  if (view.filter.job_type) jobTypes.add(view.filter.job_type);
  const presets = new Set(
    rows
      .filter((row) => !view.filter.job_type || row.job_type === view.filter.job_type)
      .map((row) => row.preset),
  );
  if (view.filter.preset) presets.add(view.filter.preset);
  const measures = new Set([...measuresOf(series), view.measure]);
  const all = { value: "", label: words.all };
  return (
    <div className="grid grid-cols-2 gap-2.5 sm:flex sm:flex-wrap">
      <Choice
        label={words.jobType}
        value={view.filter.job_type ?? ""}
        onChange={(job_type) =>
          view.set({ job_type: job_type || ALL_JOB_TYPES, preset: null, change: null })
        }
        options={[all, ...[...jobTypes].map((name) => ({ value: name, label: title(name) }))]}
      />
      <Choice
        label={words.preset}
        value={view.filter.preset ?? ""}
        onChange={(preset) => view.set({ preset, change: null })}
        options={[all, ...[...presets].map((name) => ({ value: name, label: name }))]}
      />
      <Choice
        label={words.state}
        value={view.filter.state ?? ""}
        onChange={(state) => view.set({ state, change: null })}
        options={[
          all,
          ...STATES.map((state) => ({ value: state, label: stateName(state, messages) })),
        ]}
      />
      <Choice
        label={words.measure}
        value={view.measure}
        onChange={(measure) => view.set({ measure: measure === "total" ? null : measure })}
        options={[...measures].map((name) => ({
          value: name,
          label: measureName(name, messages),
        }))}
      />
      <Choice
        label={words.spacing}
        value={view.spacing}
        onChange={(spacing) => view.set({ spacing: spacing === "time" ? spacing : null })}
        options={[
          { value: "runs", label: words.byRun },
          { value: "time", label: words.byTime },
        ]}
      />
      <Choice
        label={words.from}
        value={view.filter.history ? "1" : ""}
        onChange={(history) => view.set({ history })}
        options={[
          { value: "", label: words.thisMachine },
          { value: "1", label: words.allMachines },
        ]}
      />
    </div>
  );
}
