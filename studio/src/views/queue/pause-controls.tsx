import { useQuery } from "@tanstack/react-query";
import { ChevronDown, Pause, Play } from "lucide-react";
import { catalogueQuery, queueQuery } from "@/api/queries";
import { title } from "@/lib/format";
import { useShortcut } from "@/lib/shortcuts";
import { useMessages } from "@/messages";
import { Button, IconButton } from "@/ui/button";
import { Menu } from "@/ui/menu";
import { usePause } from "@/views/queue/queries";

/** Pause or resume everything, or one job type. */
export function PauseControls() {
  const texts = useMessages().queue;
  const { data: queue } = useQuery(queueQuery);
  const { data: catalogue } = useQuery(catalogueQuery);
  const pause = usePause();
  const paused = queue?.paused ?? [];
  const isAll = paused.includes("all");
  const toggle = (scope: string) => pause.mutate({ scope, isPaused: !paused.includes(scope) });
  useShortcut({ keys: "p", label: texts.keyPause, scope: "here" }, () => toggle("all"));
  return (
    <div className="flex items-center gap-1">
      <Button
        size="sm"
        icon={isAll ? <Play size={15} /> : <Pause size={15} />}
        onClick={() => toggle("all")}
      >
        {isAll ? texts.resumeAll : texts.pauseAll}
      </Button>
      <Menu
        trigger={<IconButton size="sm" label={texts.pauseOne} icon={<ChevronDown size={16} />} />}
        items={(catalogue?.job_types ?? []).map(({ name }) => ({
          label: title(name),
          isChecked: paused.includes(name),
          onSelect: () => toggle(name),
        }))}
      />
    </div>
  );
}

/** What is paused, and how to go on. */
export function PausedBar() {
  const texts = useMessages().queue;
  const { data: queue } = useQuery(queueQuery);
  const pause = usePause();
  const paused = queue?.paused ?? [];
  if (paused.length === 0) return null;
  const types = paused.filter((scope) => scope !== "all");
  const isAll = paused.includes("all");
  const resume = (scope: string) => pause.mutate({ scope, isPaused: false });
  return (
    <div
      role="status"
      className="mb-4 flex flex-wrap items-center justify-between gap-3 rounded-xl border border-line bg-warn-soft px-4 py-2.5"
    >
      <div className="min-w-0 text-[13px]">
        <p className="font-medium">
          {isAll ? texts.pausedAll : texts.pausedTypes(types.map(title).join(", "))}
        </p>
        <p className="text-muted">
          {isAll && types.length > 0 ? `${texts.pausedTypes(types.map(title).join(", "))}. ` : ""}
          {texts.pausedHint}
        </p>
      </div>
      <div className="flex flex-wrap gap-1.5">
        {types.map((scope) => (
          <Button key={scope} size="sm" onClick={() => resume(scope)}>
            {texts.resumeType(title(scope))}
          </Button>
        ))}
      </div>
    </div>
  );
}
