import { Trash2 } from "lucide-react";
import { percent } from "@/lib/format";
import { useMessages } from "@/messages";
import { IconButton } from "@/ui/button";
import { ChartFrame } from "@/ui/chart-frame";
import { intervalText, measuredText } from "./coverage";
import { GoalStatus } from "./goal-status";
import { ProgressBar } from "./progress-bar";
import { type Goal, useRemoveGoal } from "./queries";

/** Goals with what was measured, how far that is, and why. */
export function GoalList({ goals, title }: { goals: readonly Goal[]; title: string }) {
  const texts = useMessages().performance.panels.goals;
  const reached = goals.filter((goal) => goal.status === "reached").length;
  return (
    <ChartFrame
      title={title}
      isTitleHidden
      summary={texts.goalsSummary(reached, goals.length)}
      columns={[
        { key: "what", name: texts.what, value: (row) => row.what },
        { key: "target", name: texts.target, value: (row) => row.target },
        { key: "by", name: texts.by, value: (row) => row.due ?? row.horizon },
        { key: "now", name: texts.nowColumn, value: (row) => measuredText(row.after) },
        {
          key: "progress",
          name: texts.progress,
          value: (row) => row.progress,
          cell: (row) => percent(row.progress),
          isNumeric: true,
        },
        {
          key: "status",
          name: texts.status,
          value: (row) => texts.statuses[row.status as keyof typeof texts.statuses] ?? row.status,
        },
      ]}
      rows={goals}
      rowKey={(row) => row.id}
    >
      <ul className="@container">
        {goals.map((goal) => (
          <GoalItem key={goal.id} goal={goal} />
        ))}
      </ul>
    </ChartFrame>
  );
}

function GoalItem({ goal }: { goal: Goal }) {
  const texts = useMessages().performance.panels.goals;
  const spread = intervalText(goal.after);
  const due = goal.due ?? goal.horizon;
  return (
    <li className="grid grid-cols-[minmax(0,1fr)_2rem] gap-x-6 gap-y-2 border-b border-line py-3 first:pt-0 last:border-0 last:pb-0 @2xl:grid-cols-[minmax(0,1fr)_minmax(0,16rem)_2rem]">
      <div className="min-w-0">
        <p className="flex flex-wrap items-center gap-2 text-sm font-medium">
          {capital(goal.what)}
          <GoalStatus status={goal.status} />
        </p>
        <p className="text-xs text-muted">
          {goal.target !== goal.what && `${texts.targetIs(goal.target)} · `}
          {due && `${goal.due ? texts.dueOn(due) : texts.within(due)} · `}
          {goal.reason}
        </p>
      </div>
      <div className="order-last col-span-2 min-w-0 self-center @2xl:order-none @2xl:col-span-1">
        <ProgressBar share={goal.progress} label={texts.progressOf(goal.what)} />
        <p className="numeric mt-1 text-xs text-muted">
          {goal.after
            ? texts.now(measuredText(goal.after), spread, goal.after.n)
            : goal.before
              ? texts.earlier(measuredText(goal.before))
              : texts.notMeasured}
        </p>
      </div>
      {goal.source === "api" && (
        <div className="@2xl:self-center">
          <RemoveGoal goal={goal} />
        </div>
      )}
    </li>
  );
}

/** As a sentence; a job type's name stays as it is. */
const capital = (text: string): string =>
  /^\S*_/.test(text) ? text : text.charAt(0).toUpperCase() + text.slice(1);

function RemoveGoal({ goal }: { goal: Goal }) {
  const texts = useMessages().performance.panels.goals;
  const remove = useRemoveGoal();
  return (
    <IconButton
      size="sm"
      label={texts.remove(goal.what)}
      icon={<Trash2 size={15} />}
      isBusy={remove.isPending}
      onClick={() => remove.mutate(goal.id)}
    />
  );
}
