import { Columns2, Plus, Vote } from "lucide-react";
import { useState } from "react";
import { useMessages } from "@/messages";
import { MOST_COMPARED } from "@/stores/comparison";
import { Button } from "@/ui/button";
import { Page } from "@/ui/page";
import { Empty } from "@/ui/states";
import { Tabs } from "@/ui/tabs";
import { Blind } from "@/views/compare/blind";
import { pairsToVote } from "@/views/compare/logic/settings";
import { useCompared, useMakeTests } from "@/views/compare/queries";
import { Results } from "@/views/compare/results";
import { Picker } from "@/views/compare/results/picker";
import { useComparisonState } from "@/views/compare/use-comparison";

export default function CompareView() {
  const texts = useMessages().compare;
  const state = useComparisonState();
  const { all, retry } = useCompared(state.ids);
  const [isPicking, setIsPicking] = useState(false);
  const make = useMakeTests();
  const pairs = pairsToVote(all.flatMap(({ job }) => (job ? [job] : [])));
  const voteBlind = () =>
    make.mutate(pairs, { onSuccess: (made) => state.setBlind(made[0]?.id ?? "") });
  const pick = () => setIsPicking(true);
  const hasAny = state.ids.length > 0;
  return (
    <Page
      isWide
      title={texts.title}
      text={texts.text}
      actions={
        state.blind === null && (
          <>
            {hasAny && (
              <Button variant="ghost" onClick={() => state.setIds([])}>
                {texts.clear}
              </Button>
            )}
            {pairs.length > 0 && (
              <Button icon={<Vote size={16} />} isBusy={make.isPending} onClick={voteBlind}>
                {pairs.length > 1 ? texts.blindPairs(pairs.length) : texts.blind}
              </Button>
            )}
            {hasAny && (
              <Button variant="primary" icon={<Plus size={16} />} onClick={pick}>
                {texts.add}
              </Button>
            )}
          </>
        )
      }
    >
      <Tabs
        label={texts.tabs}
        value={state.blind === null ? "results" : "blind"}
        onChange={(tab) => state.setBlind(tab === "blind" ? "" : null)}
        tabs={[
          {
            value: "results",
            label: texts.tabResults,
            content: hasAny ? (
              <Results state={state} all={all} onRetry={retry} />
            ) : (
              <Empty
                icon={<Columns2 size={28} aria-hidden />}
                title={texts.emptyTitle}
                text={texts.emptyText}
                action={
                  <Button variant="primary" onClick={pick}>
                    {texts.choose}
                  </Button>
                }
              />
            ),
          },
          { value: "blind", label: texts.tabBlind, content: <Blind state={state} /> },
        ]}
      />
      <Picker
        isOpen={isPicking}
        onClose={() => setIsPicking(false)}
        title={texts.pickTitle}
        most={MOST_COMPARED}
        ids={state.ids}
        onChange={state.setIds}
      />
    </Page>
  );
}
