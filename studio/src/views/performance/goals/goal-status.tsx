import { title } from "@/lib/format";
import { useMessages } from "@/messages";
import { Badge, type Tone } from "@/ui/badge";

const TONES: Record<string, Tone> = {
  reached: "good",
  missed: "bad",
  "in progress": "accent",
  measured: "accent",
};

export function GoalStatus({ status }: { status: string }) {
  const texts = useMessages().performance.panels.goals.statuses;
  return (
    <Badge tone={TONES[status] ?? "neutral"}>
      {texts[status as keyof typeof texts] ?? title(status)}
    </Badge>
  );
}
