import { useMessages } from "@/messages";
import { Badge, type Tone } from "@/ui/badge";

const TONES: Record<string, Tone> = { fast: "good", normal: "neutral", slow: "warn" };

export function ScoreBadge({ score }: { score: "fast" | "normal" | "slow" }) {
  const texts = useMessages().performance.panels.ledger;
  return <Badge tone={TONES[score] ?? "neutral"}>{texts.scores[score]}</Badge>;
}
