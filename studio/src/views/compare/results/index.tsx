import type { Job } from "@/api/client";
import { useMessages } from "@/messages";
import { Card } from "@/ui/card";
import { ErrorState, Skeleton } from "@/ui/states";
import type { Compared } from "@/views/compare/queries";
import { ResultCards } from "@/views/compare/results/cards";
import { Prompts } from "@/views/compare/results/prompts";
import { SettingsTable } from "@/views/compare/results/settings-table";
import { Times } from "@/views/compare/results/times";
import { Stage } from "@/views/compare/stage";
import { sourcesOf } from "@/views/compare/stage/source";
import type { ComparisonState } from "@/views/compare/use-comparison";

interface Props {
  state: ComparisonState;
  all: readonly Compared[];
  onRetry(): void;
}

/** Chosen results: the files, who is who, times, settings and prompts. */
export function Results({ state, all, onRetry }: Props) {
  const texts = useMessages().compare;
  const jobs = all.flatMap(({ job }) => (job ? [job] : []));
  const places = new Map(all.map(({ id }, place) => [id, String(place + 1)]));
  const nameOf = (job: Job) => places.get(job.id) ?? "";
  const count = Math.max(1, ...jobs.map((job) => job.assets.length));
  const index = Math.min(state.index, count - 1);
  const shown = jobs.filter((job) => job.assets.length > 0);
  const sources = sourcesOf(shown, index, (place) => nameOf(shown[place] as Job));
  const failure = all.find(({ error, isGone }) => error && !isGone)?.error;
  const isLoading = all.some((each) => each.isLoading);
  return (
    <div className="flex flex-col gap-4">
      {failure != null && <ErrorState error={failure} onRetry={onRetry} />}
      {(sources.length > 0 || isLoading) && (
        <Card className="p-3 sm:p-4">
          {sources.length > 0 ? (
            <Stage
              sources={sources}
              look={state.look}
              onLook={state.setLook}
              count={count}
              index={index}
              onIndex={state.setIndex}
            />
          ) : (
            <Skeleton className="h-80" />
          )}
        </Card>
      )}
      {all.length === 1 && <p className="text-sm text-muted">{texts.onlyOne}</p>}
      <ResultCards
        all={all}
        onRemove={(id) => state.setIds(state.ids.filter((each) => each !== id))}
        onFirst={(id) => state.setIds([id, ...state.ids.filter((each) => each !== id)])}
      />
      {jobs.length > 1 && (
        <>
          <Times jobs={jobs} nameOf={nameOf} />
          <SettingsTable
            jobs={jobs}
            nameOf={nameOf}
            hasAll={state.hasAllSettings}
            onAll={state.setAllSettings}
          />
          <Prompts jobs={jobs} nameOf={nameOf} />
        </>
      )}
    </div>
  );
}
