import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useId, useState } from "react";
import { ApiError } from "@/api/client";
import { catalogueQuery } from "@/api/queries";
import { title } from "@/lib/format";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { Field, Input, Select } from "@/ui/field";
import { ErrorState } from "@/ui/states";
import { Segmented } from "@/ui/tabs";
import { type GoalRequest, useAddGoal } from "./queries";

type Kind = "seconds" | "success_percent";

interface Values {
  job_type: string;
  kind: Kind;
  figure: string;
  state: string;
  by: string;
  text: string;
}

const EMPTY: Values = { job_type: "", kind: "seconds", figure: "", state: "", by: "", text: "" };

function requestOf(values: Values, defaultType: string): GoalRequest {
  return {
    job_type: values.job_type || defaultType,
    [values.kind]: Number(values.figure.replace(",", ".")),
    ...(values.state ? { state: values.state as GoalRequest["state"] } : {}),
    ...(values.by ? { by: values.by } : {}),
    ...(values.text.trim() ? { text: values.text.trim() } : {}),
  };
}

/** A new goal. What the service refuses stands at the field that it is about. */
export function GoalForm({ isOpen, onClose }: { isOpen: boolean; onClose(): void }) {
  const messages = useMessages();
  const texts = messages.performance.panels.goals;
  const form = useId();
  const [values, setValues] = useState(EMPTY);
  const { data: catalogue } = useQuery(catalogueQuery);
  const add = useAddGoal();
  const types = catalogue?.job_types ?? [];
  const close = () => {
    add.reset();
    onClose();
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    add.mutate(requestOf(values, types[0]?.name ?? ""), {
      onSuccess: () => {
        setValues(EMPTY);
        onClose();
      },
    });
  };
  return (
    <Dialog
      isOpen={isOpen}
      onClose={close}
      title={texts.addTitle}
      footer={
        <>
          <Button onClick={close}>{messages.actions.cancel}</Button>
          <Button type="submit" form={form} variant="primary" isBusy={add.isPending}>
            {texts.addGoal}
          </Button>
        </>
      }
    >
      <form id={form} onSubmit={submit} noValidate>
        <Fields
          values={values}
          onChange={(change) => setValues((known) => ({ ...known, ...change }))}
          types={types.map(({ name }) => name)}
          error={add.error}
        />
      </form>
    </Dialog>
  );
}

interface FieldsProps {
  values: Values;
  onChange(change: Partial<Values>): void;
  types: readonly string[];
  error: Error | null;
}

const FIELDS = ["job_type", "seconds", "success_percent", "state", "by", "text"];

function Fields({ values, onChange, types, error }: FieldsProps) {
  const messages = useMessages();
  const texts = messages.performance.panels.goals;
  const param = error instanceof ApiError ? (error.param ?? "") : "";
  const field = FIELDS.find((name) => param.split(".").includes(name));
  const errorOf = (name: string) => (field === name ? error?.message : undefined);
  return (
    <div className="flex flex-col gap-4">
      {error && !field && <ErrorState error={error} />}
      <Field label={texts.jobType} error={errorOf("job_type")}>
        {(ids) => (
          <Select
            {...ids}
            value={values.job_type}
            onChange={(event) => onChange({ job_type: event.target.value })}
            options={types.map((name) => ({ value: name, label: title(name) }))}
          />
        )}
      </Field>
      <div className="flex flex-col gap-1.5">
        <span className="text-[13px] font-medium">{texts.kind}</span>
        <Segmented<Kind>
          value={values.kind}
          onChange={(kind) => onChange({ kind })}
          label={texts.kind}
          options={[
            { value: "seconds", label: texts.kinds.seconds },
            { value: "success_percent", label: texts.kinds.success_percent },
          ]}
        />
      </div>
      <div className="grid grid-cols-1 gap-4 sm:grid-cols-2">
        <Field
          label={texts.figures[values.kind]}
          error={errorOf("seconds") ?? errorOf("success_percent")}
        >
          {(ids) => (
            <Input
              {...ids}
              inputMode="decimal"
              required
              value={values.figure}
              onChange={(event) => onChange({ figure: event.target.value })}
            />
          )}
        </Field>
        <Field label={texts.by} hint={texts.optional} error={errorOf("by")}>
          {(ids) => (
            <Input
              {...ids}
              type="date"
              value={values.by}
              onChange={(event) => onChange({ by: event.target.value })}
            />
          )}
        </Field>
      </div>
      <Field label={texts.state} error={errorOf("state")}>
        {(ids) => (
          <Select
            {...ids}
            value={values.state}
            onChange={(event) => onChange({ state: event.target.value })}
            options={[
              { value: "", label: texts.anyState },
              ...(["resident", "warm", "cold"] as const).map((value) => ({
                value,
                label: messages.performance.jobStates[value],
              })),
            ]}
          />
        )}
      </Field>
      <Field label={texts.text} hint={texts.textHint} error={errorOf("text")}>
        {(ids) => (
          <Input
            {...ids}
            value={values.text}
            onChange={(event) => onChange({ text: event.target.value })}
          />
        )}
      </Field>
    </div>
  );
}
