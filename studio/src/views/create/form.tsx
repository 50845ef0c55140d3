// The form's state: what is chosen, how it changes, and what the service says about it.
import { createContext, type ReactNode, useContext, useMemo } from "react";
import type { Catalogue, JobType, Preset } from "@/api/client";
import { useMessages } from "@/messages";
import { type Draft, useDraft, type Values } from "@/stores/draft";
import { useToasts } from "@/ui/toast";
import { groupOf } from "@/views/create/kinds";
import { useMemory } from "@/views/create/memory";
import { type Chosen, chosenOf, retyped } from "@/views/create/request";
import { changesOf, type FieldName, presetValues, type Value } from "@/views/create/schema";

interface Form extends Chosen {
  catalogue: Catalogue;
  base: Values;
}

const FormContext = createContext<Form | null>(null);

export function FormProvider({
  catalogue,
  children,
}: {
  catalogue: Catalogue;
  children: ReactNode;
}) {
  const job_type = useDraft((store) => store.draft.job_type);
  const preset = useDraft((store) => store.draft.preset);
  const form = useMemo(() => {
    const chosen = chosenOf(catalogue, { job_type, preset });
    return chosen && { ...chosen, catalogue, base: presetValues(chosen.type, chosen.preset) };
  }, [catalogue, job_type, preset]);
  return form && <FormContext value={form}>{children}</FormContext>;
}

export function useForm(): Form {
  const form = useContext(FormContext);
  if (!form) throw new Error("no form here");
  return form;
}

/** One value of the form: the preset's unless it was changed. */
export function useFieldValue<T extends Value>(name: FieldName) {
  const { base } = useForm();
  const changed = useDraft((store) => store.draft.values[name]);
  const value = changed ?? base[name];
  const set = (next: Value | undefined) => {
    const { draft, set: change } = useDraft.getState();
    const values = { ...draft.values };
    if (next === undefined || next === base[name]) delete values[name];
    else values[name] = next as never;
    change({ values });
  };
  return {
    value: value as T | undefined,
    original: base[name] as T | undefined,
    isChanged: value !== base[name],
    set,
    reset: () => set(undefined),
  };
}

export function useChanges(): Values {
  const { type, preset } = useForm();
  const values = useDraft((store) => store.draft.values);
  return useMemo(() => changesOf(type, preset, values), [type, preset, values]);
}

/** Take another draft; returns how to bring back the one before it. */
export function swap(draft: Draft): () => void {
  const before = useDraft.getState().draft;
  useDraft.getState().replace(draft);
  return () => {
    const store = useDraft.getState();
    if (store.draft === draft) store.undo();
    else store.replace(before); // others came after it: they can be brought back in turn
  };
}

/** Take another draft; where something would be lost, a way back is offered. */
export function useReplace(): (draft: Draft, text: string, detail?: string) => void {
  const messages = useMessages();
  const show = useToasts((store) => store.show);
  return (draft, text, detail) => {
    const action = { label: messages.actions.undo, run: swap(draft) };
    show({ tone: "neutral", text, detail, action });
  };
}

/** Choose a job type or a preset; changed settings that go with it can be brought back. */
export function useChoose() {
  const { type, preset } = useForm();
  const messages = useMessages();
  const replace = useReplace();
  const take = (to: JobType, toPreset: Preset | undefined, next: Draft) => {
    const { draft, set } = useDraft.getState();
    const before = Object.keys(changesOf(type, preset, draft.values)).length;
    const after = toPreset ? Object.keys(changesOf(to, toPreset, next.values)).length : 0;
    if (before > after) replace(next, messages.create.presets.left(before - after));
    else set(next);
  };
  return {
    chooseType: (to: JobType) => {
      const { lastOf, set } = useMemory.getState();
      set({ lastOf: { ...lastOf, [groupOf(to)]: to.name } });
      const next = retyped(useDraft.getState().draft, type, to);
      const toPreset = to.presets.find((each) => each.name === next.preset);
      take(to, toPreset, next);
    },
    choosePreset: (to: Preset) => {
      const { draft } = useDraft.getState();
      take(type, to, { ...draft, job_type: type.name, preset: to.name, values: {} });
    },
  };
}
