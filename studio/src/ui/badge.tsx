import type { ReactNode } from "react";
import type { Job } from "@/api/client";
import { type Messages, useMessages } from "@/messages";
import { cx } from "@/ui/cx";

export type Tone = "neutral" | "accent" | "good" | "warn" | "bad";

const TONES: Record<Tone, string> = {
  neutral: "bg-sunken text-muted",
  accent: "bg-accent-soft text-accent-ink",
  good: "bg-good-soft text-good",
  warn: "bg-warn-soft text-warn",
  bad: "bg-bad-soft text-bad",
};

export function Badge({
  tone = "neutral",
  children,
  className,
}: {
  tone?: Tone;
  children: ReactNode;
  className?: string;
}) {
  return (
    <span
      className={cx(
        "inline-flex h-[22px] items-center gap-1 rounded-md px-1.5 text-xs font-medium whitespace-nowrap",
        TONES[tone],
        className,
      )}
    >
      {children}
    </span>
  );
}

export function stateTone(job: Job): Tone {
  if (job.is_cancel_requested && job.state === "running") return "warn";
  if (job.state === "queued" && job.is_held) return "warn";
  return (
    {
      queued: "neutral",
      running: "accent",
      succeeded: "good",
      failed: "bad",
      cancelled: "neutral",
    } as const
  )[job.state];
}

export function stateName(job: Job, messages: Messages): string {
  if (job.is_cancel_requested && job.state === "running") return messages.states.cancelling;
  if (job.state === "queued" && job.is_held) return messages.states.held;
  return messages.states[job.state];
}

export function StateBadge({ job }: { job: Job }) {
  const messages = useMessages();
  return <Badge tone={stateTone(job)}>{stateName(job, messages)}</Badge>;
}
