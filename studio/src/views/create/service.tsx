// What the service says about the form as it stands, and what happens when it is sent.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useEffect, useMemo, useState } from "react";
import { useSubmit } from "@/api/actions";
import { answer, api, type Job, type JobRequest, type Schemas } from "@/api/client";
import { applyJobs } from "@/api/live";
import { once } from "@/api/once";
import { keys } from "@/api/queries";
import { useMessages } from "@/messages";
import { type Draft, useDraft } from "@/stores/draft";
import { useForm } from "@/views/create/form";
import { useDebounced, useLast } from "@/views/create/hooks";
import { useMemory } from "@/views/create/memory";
import { type Problem, problemOf } from "@/views/create/problems";
import { expectQuery } from "@/views/create/queries";
import { type Body, bodyOf, copiesOf } from "@/views/create/request";

const SETTLED_MS = 300;
const AGAIN_MS = 20_000; // the queue moves
const TOLD_MS = 15_000;
/** Stands for a prompt that is not written yet: the other settings have a time all the same. */
export const ANY_PROMPT = "a circle";

interface Estimate {
  answer: Schemas["ExpectedAnswer"] | undefined;
  isUpdating: boolean;
  /** What was in the way that is no problem of the form: the network, say. */
  error: unknown;
}

interface Submission {
  submit(): void;
  isBusy: boolean;
  /** How many jobs the last press added, while that is news. */
  numAdded: number | null;
  /** What was in the way, if it is of no field. */
  error: unknown;
}

const EstimateContext = createContext<Estimate | null>(null);
const SubmissionContext = createContext<Submission | null>(null);
const ProblemContext = createContext<Problem | null>(null);

function useExpectation(draft: Draft) {
  const form = useForm();
  const { seed: _, ...body } = bodyOf(draft, form);
  const wish = JSON.stringify({ ...body, prompt: body.prompt || ANY_PROMPT });
  const settled = useDebounced(wish, SETTLED_MS);
  const { data, error, isFetching } = useQuery({
    ...expectQuery(settled),
    refetchInterval: AGAIN_MS,
  });
  const last = useLast(data);
  const problem = useMemo(() => problemOf(error), [error]);
  const isUpdating = isFetching || settled !== wish;
  const other = problem ? null : error;
  const estimate = useMemo(
    () => ({ answer: last, isUpdating, error: other }),
    [last, isUpdating, other],
  );
  return { estimate, problem };
}

function useBatch() {
  return useMutation({
    mutationFn: async (jobs: Body[]) => {
      const result = await once("/jobs/batch", jobs, (key) =>
        answer(
          api.POST("/api/v1/jobs/batch", {
            params: { header: { "Idempotency-Key": key } },
            body: { jobs: jobs as JobRequest[] },
          }),
        ),
      );
      return result.data;
    },
  });
}

interface Attempt {
  draft: Draft;
  problem: Problem | null;
  error: unknown;
}

function useSubmission(draft: Draft) {
  const form = useForm();
  const messages = useMessages();
  const client = useQueryClient();
  const one = useSubmit();
  const many = useBatch();
  const [isBusy, setIsBusy] = useState(false);
  const [numAdded, setNumAdded] = useState<number | null>(null);
  const [attempt, setAttempt] = useState<Attempt | null>(null);
  useEffect(() => {
    if (numAdded === null) return;
    const timer = setTimeout(() => setNumAdded(null), TOLD_MS);
    return () => clearTimeout(timer);
  }, [numAdded]);

  const send = async (body: Body): Promise<Job[]> => {
    const { copies } = useMemory.getState();
    if (copies === 1) return [await one.mutateAsync(body)];
    const numImages = Number(body.num_images ?? form.base.num_images ?? 1);
    return many.mutateAsync(copiesOf(body, copies, numImages));
  };
  const submit = async () => {
    if (isBusy) return;
    const body = bodyOf(draft, form);
    setNumAdded(null);
    if (body.prompt === "") {
      const problem = { param: "prompt", text: messages.create.prompt.needed };
      setAttempt({ draft, problem, error: null });
      document.getElementById("prompt")?.focus();
      return;
    }
    setIsBusy(true);
    try {
      const jobs = await send(body);
      useMemory.getState().remember(jobs);
      applyJobs(client, { data: jobs, deleted: [] });
      setAttempt(null);
      setNumAdded(jobs.length);
      void client.invalidateQueries({ queryKey: keys.queue });
    } catch (error) {
      setAttempt({ draft, problem: problemOf(error), error });
    } finally {
      setIsBusy(false);
    }
  };
  const current = attempt?.draft === draft ? attempt : null;
  return { submit, isBusy, numAdded, error: current?.error, problem: current?.problem ?? null };
}

export function ServiceProvider({ children }: { children: ReactNode }) {
  const draft = useDraft((store) => store.draft);
  const { estimate, problem: expected } = useExpectation(draft);
  const { problem: refused, ...submission } = useSubmission(draft);
  const problem = refused ?? expected;
  return (
    <EstimateContext value={estimate}>
      <SubmissionContext value={submission}>
        <ProblemContext value={problem}>{children}</ProblemContext>
      </SubmissionContext>
    </EstimateContext>
  );
}

function useThe<T>(value: T | null): T {
  if (value === null) throw new Error("no service here");
  return value;
}

export const useEstimate = (): Estimate => useThe(useContext(EstimateContext));
export const useSubmitting = (): Submission => useThe(useContext(SubmissionContext));

/** What is wrong with the form as it stands, or was when it was sent. */
export const useFormProblem = (): Problem | null => useContext(ProblemContext);

/** What is wrong with one value of the form; null asks for what is of no field. */
export function useProblem(param: string | null): string | undefined {
  const problem = useFormProblem();
  return problem?.param === param ? problem.text : undefined;
}
