// How long results took, so that they can be set side by side fairly.
import type { Job } from "@/api/client";

/** What depends on when a job came and not on its settings. */
export function isCircumstance(phase: string): boolean {
  return /^(queue_wait$|startup$|compile$|load\.|enhance\.load$)/.test(phase);
}

export function phasesOf(job: Job, isWorkOnly: boolean): Record<string, number> {
  const ledger = job.ledger;
  const all: Record<string, number> = { ...(ledger?.phases_s ?? job.phases_s) };
  if (!isWorkOnly && ledger?.unattributed_s) all.unattributed = ledger.unattributed_s;
  return isWorkOnly
    ? Object.fromEntries(Object.entries(all).filter(([phase]) => !isCircumstance(phase)))
    : all;
}

export function sumOf(phases_s: Record<string, number>): number {
  return Object.values(phases_s).reduce((sum, seconds) => sum + seconds, 0);
}

export type Relation =
  | { kind: "same" }
  | { kind: "faster"; factor: number }
  | { kind: "slower"; factor: number };

const ALIKE = 1.05;

/** How a time stands to another; within 5 % they are called the same. */
export function relationOf(seconds: number, reference_s: number): Relation | null {
  if (seconds <= 0 || reference_s <= 0) return null;
  const factor = reference_s / seconds;
  if (factor >= ALIKE) return { kind: "faster", factor };
  if (factor <= 1 / ALIKE) return { kind: "slower", factor: 1 / factor };
  return { kind: "same" };
}
