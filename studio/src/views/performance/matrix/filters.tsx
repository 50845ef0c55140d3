import { title } from "@/lib/format";
import { useMessages } from "@/messages";
import { Choice } from "@/views/performance/choice";
import { HistoryChoice } from "@/views/performance/matrix/history";
import { firstDirection, SORTS, type SortKey } from "@/views/performance/matrix/sorting";
import type { MatrixView } from "@/views/performance/matrix/use-matrix-view";
import type { MatrixRow } from "@/views/performance/queries";
import { stateName } from "@/views/performance/words";

const STATES = ["cold", "warm", "resident"];
const STATUSES = ["pending", "in_progress", "established", "optimised"] as const;

export function MatrixFilters({ rows, view }: { rows: readonly MatrixRow[]; view: MatrixView }) {
  const messages = useMessages();
  const words = messages.performance.matrix;
  const jobTypes = [...new Set(rows.map((row) => row.job_type))];
  return (
    <div className="mb-4 grid grid-cols-2 gap-2.5 sm:flex sm:flex-wrap">
      <Choice
        label={words.filterJobType}
        value={view.filter.job_type ?? ""}
        onChange={(job_type) => view.set({ job_type })}
        options={[
          { value: "", label: words.allJobTypes },
          ...jobTypes.map((name) => ({ value: name, label: title(name) })),
        ]}
      />
      <Choice
        label={words.filterState}
        value={view.filter.state ?? ""}
        onChange={(state) => view.set({ state })}
        options={[
          { value: "", label: words.allStates },
          ...STATES.map((state) => ({ value: state, label: stateName(state, messages) })),
        ]}
      />
      <Choice
        label={words.filterStatus}
        value={view.filter.status ?? ""}
        onChange={(status) => view.set({ status })}
        options={[
          { value: "", label: words.allStatuses },
          ...STATUSES.map((status) => ({ value: status, label: words.status[status] })),
        ]}
      />
      <Choice
        className="md:hidden"
        label={words.sortBy}
        value={view.sort?.key ?? ""}
        onChange={(key) =>
          view.setSort(
            key ? { key: key as SortKey, direction: firstDirection(key as SortKey) } : null,
          )
        }
        options={[
          { value: "", label: messages.actions.none },
          ...SORTS.map((key) => ({ value: key, label: words.columns[key] })),
        ]}
      />
      <HistoryChoice value={view.history} onChange={(history) => view.set({ history })} />
    </div>
  );
}
