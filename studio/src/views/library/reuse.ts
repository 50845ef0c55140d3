import { useQuery } from "@tanstack/react-query";
import { useLocation } from "wouter";
import type { Job } from "@/api/client";
import { catalogueQuery } from "@/api/queries";
import { useMessages } from "@/messages";
import { type Draft, draftOf, takenBy, useDraft } from "@/stores/draft";
import { useToasts } from "@/ui/toast";

export type Reused = "all" | "prompt" | "seed";

/** The form with what is reused; the rest of it stays as it was. */
export function reused(draft: Draft, job: Job, what: Reused, taken?: ReadonlySet<string>): Draft {
  if (what === "prompt") return { ...draft, prompt: job.prompt };
  if (what === "seed") return { ...draft, seed: job.seed };
  return draftOf(job, taken);
}

export function useTaken(job: Job): ReadonlySet<string> | undefined {
  const { data } = useQuery(catalogueQuery);
  return takenBy(data, job);
}

/** Take a job's settings to the form; what stood there comes back with "Undo". */
export function useReuse(job: Job): (what: Reused) => void {
  const taken = useTaken(job);
  const texts = useMessages().library;
  const { undo: label } = useMessages().actions;
  const [, navigate] = useLocation();
  const { show } = useToasts();
  return (what) => {
    const { draft, replace } = useDraft.getState();
    replace(reused(draft, job, what, taken));
    navigate("/");
    const text = { all: texts.reusedAll, prompt: texts.reusedPrompt, seed: texts.reusedSeed }[what];
    show({ tone: "neutral", text, action: { label, run: () => useDraft.getState().undo() } });
  };
}
