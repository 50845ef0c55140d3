import { fullMoment, moment, title } from "@/lib/format";
import { useMessages } from "@/messages";
import { Badge, type Tone } from "@/ui/badge";
import { cx } from "@/ui/cx";
import type { Brief } from "./queries";

const TONES: Record<string, Tone> = {
  regression: "bad",
  improvement: "good",
  interrupted: "warn",
  running: "accent",
};

interface Props {
  runs: readonly Brief[];
  selected: string | null;
  onSelect(id: string): void;
}

/** Every run that was kept, newest first. */
export function RunList({ runs, selected, onSelect }: Props) {
  return (
    <ul className="-mx-2 max-h-[32rem] overflow-y-auto">
      {runs.map((run) => (
        <li key={run.id}>
          <RunItem run={run} isSelected={run.id === selected} onSelect={onSelect} />
        </li>
      ))}
    </ul>
  );
}

interface ItemProps {
  run: Brief;
  isSelected: boolean;
  onSelect(id: string): void;
}

function RunItem({ run, isSelected, onSelect }: ItemProps) {
  const texts = useMessages().performance.panels.protocol;
  const said = run.status === "complete" ? (run.outcome ?? "none") : run.status;
  return (
    <button
      type="button"
      aria-pressed={isSelected}
      onClick={() => onSelect(run.id)}
      className={cx(
        "w-full rounded-lg px-2 py-2 text-left hover:bg-sunken",
        isSelected && "bg-accent-soft",
      )}
    >
      <span className="flex items-center justify-between gap-2">
        <span className="text-[13px] font-medium" title={fullMoment(run.created_at)}>
          {moment(run.created_at)}
        </span>
        <Badge tone={TONES[said] ?? "neutral"}>
          {texts.outcomes[said as keyof typeof texts.outcomes] ?? title(said)}
        </Badge>
      </span>
      <span className="block truncate text-xs text-muted">
        {texts.brief(
          texts.kinds[run.kind as keyof typeof texts.kinds] ?? title(run.kind),
          title(run.suite),
          run.num_done,
          run.num_planned,
        )}
        {" · "}
        {run.job_types.map(title).join(", ")}
      </span>
    </button>
  );
}
