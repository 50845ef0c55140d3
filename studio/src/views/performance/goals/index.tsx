import { useQuery } from "@tanstack/react-query";
import { Plus } from "lucide-react";
import { useState } from "react";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { Section } from "@/ui/card";
import { Empty, ErrorState, Loading } from "@/ui/states";
import { Coverage } from "./coverage-panel";
import { GoalForm } from "./goal-form";
import { GoalList } from "./goal-list";
import { type Goal, goalsQuery } from "./queries";
import { Roadmap } from "./roadmap";

/** What is wanted, by when, and how far the measurements say it got. */
export default function GoalsPanel() {
  const texts = useMessages().performance.panels.goals;
  const { data, error, refetch } = useQuery(goalsQuery);
  if (error && !data) return <ErrorState error={error} onRetry={() => void refetch()} />;
  if (!data) return <Loading />;
  return (
    <div className="flex flex-col gap-4">
      <div className="grid grid-cols-1 items-start gap-4 xl:grid-cols-2">
        <OwnGoals goals={data.own_goals} />
        <Coverage />
      </div>
      <Section id="roadmap" title={texts.roadmap} text={texts.roadmapText}>
        <Roadmap rows={data.roadmap} />
      </Section>
      <Section
        id="history-goals"
        title={texts.historyGoals}
        text={texts.historyText(data.before_jobs, data.full_size_jobs)}
      >
        <GoalList goals={data.goals} title={texts.historyGoals} />
      </Section>
    </div>
  );
}

function OwnGoals({ goals }: { goals: readonly Goal[] }) {
  const texts = useMessages().performance.panels.goals;
  const [isOpen, setIsOpen] = useState(false);
  const add = (
    <Button size="sm" icon={<Plus size={15} />} onClick={() => setIsOpen(true)}>
      {texts.addGoal}
    </Button>
  );
  return (
    <Section
      id="own-goals"
      title={texts.own}
      text={texts.ownText}
      actions={goals.length > 0 && add}
    >
      {goals.length === 0 ? (
        <Empty title={texts.none} text={texts.noneHint} action={add} />
      ) : (
        <GoalList goals={goals} title={texts.own} />
      )}
      <GoalForm isOpen={isOpen} onClose={() => setIsOpen(false)} />
    </Section>
  );
}
