// The ledger's words, in the order in which they happen, and the colour of each kind.
import type { Messages } from "@/messages";

export const PHASES = [
  "queue_wait",
  "enhance.load",
  "enhance.run",
  "startup",
  "load",
  "load.text_encoder",
  "load.transformer",
  "load.unet",
  "load.vae",
  "compile",
  "encode",
  "prepare",
  "denoise",
  "decode",
  "save",
  "thumbnail",
  "probe",
  "upload",
  "notify",
  "unattributed",
] as const;

const COLOURS: Record<string, string> = {
  queue_wait: "var(--phase-wait)",
  enhance: "var(--phase-enhance)",
  load: "var(--phase-load)",
  startup: "var(--phase-load)",
  compile: "var(--phase-compile)",
  encode: "var(--phase-encode)",
  prepare: "var(--phase-encode)",
  denoise: "var(--phase-denoise)",
  decode: "var(--phase-decode)",
  save: "var(--phase-save)",
  thumbnail: "var(--phase-save)",
  probe: "var(--phase-save)",
  upload: "var(--phase-save)",
  unattributed: "var(--phase-unattributed)",
};

export function phaseColour(phase: string): string {
  return COLOURS[phase] ?? COLOURS[phase.split(".")[0] ?? ""] ?? "var(--phase-other)";
}

export function phaseName(phase: string, messages: Messages): string {
  return messages.phases[phase as keyof Messages["phases"]] ?? phase;
}

export interface PhasePart {
  phase: string;
  seconds: number;
}

/** Phases in the ledger's order, without those that took no time. */
export function orderedPhases(phases_s: Record<string, number>): PhasePart[] {
  const rank = (phase: string): number => {
    const index = (PHASES as readonly string[]).indexOf(phase);
    return index < 0 ? PHASES.length : index;
  };
  return Object.entries(phases_s)
    .filter(([, seconds]) => seconds > 0)
    .map(([phase, seconds]) => ({ phase, seconds }))
    .sort((a, b) => rank(a.phase) - rank(b.phase));
}
