import { useState } from "react";
import type { Catalogue } from "@/api/client";
import { title } from "@/lib/format";
import { Thumbnail } from "@/media";
import { useMessages } from "@/messages";
import { useDraft } from "@/stores/draft";
import { Button } from "@/ui/button";
import { Section } from "@/ui/card";
import { Field, Select, TextArea } from "@/ui/field";
import { Segmented } from "@/ui/tabs";
import { Picker } from "@/views/compare/results/picker";
import { parameterName, valueName } from "@/views/grid/builder/names";
import type { BaseState } from "@/views/grid/builder/use-base";
import { useGrids } from "@/views/grid/store";

interface Props {
  base: BaseState;
  catalogue: Catalogue;
}

/** What every job of the grid has in common. */
export function Base({ base, catalogue }: Props) {
  const texts = useMessages().grid;
  const { isOfJob, setBase } = useGrids();
  return (
    <Section
      id="base"
      title={texts.base}
      actions={
        <Segmented
          label={texts.baseKind}
          value={isOfJob ? "job" : "draft"}
          onChange={(kind) => setBase({ isOfJob: kind === "job" })}
          options={[
            { value: "draft", label: texts.baseDraft },
            { value: "job", label: texts.baseJob },
          ]}
        />
      }
    >
      {isOfJob ? <OfJob base={base} /> : <OfDraft base={base} catalogue={catalogue} />}
      {base.isReady && <Fixed base={base} />}
    </Section>
  );
}

function OfDraft({ base, catalogue }: Props) {
  const messages = useMessages();
  const texts = messages.grid;
  const { draft, set } = useDraft();
  const isPromptAxis = base.axes.some((axis) => axis.name === "prompt");
  const isTypeAxis = base.axes.some((axis) => axis.name === "job_type");
  return (
    <div className="flex flex-col gap-4">
      {!isPromptAxis && (
        <Field label={messages.parameters.prompt} hint={texts.promptHint}>
          {(ids) => (
            <TextArea
              {...ids}
              rows={3}
              placeholder={texts.promptPlaceholder}
              value={draft.prompt}
              onChange={(event) => set({ prompt: event.target.value })}
            />
          )}
        </Field>
      )}
      {!isTypeAxis && (
        <Field label={messages.parameters.job_type} className="max-w-xs">
          {(ids) => (
            <Select
              {...ids}
              value={base.job_type}
              onChange={(event) =>
                set({ job_type: event.target.value, preset: "baseline", values: {} })
              }
              options={catalogue.job_types.map(({ name }) => ({ value: name, label: title(name) }))}
            />
          )}
        </Field>
      )}
    </div>
  );
}

function OfJob({ base }: { base: BaseState }) {
  const texts = useMessages().grid;
  const { base_job, setBase } = useGrids();
  const [isPicking, setIsPicking] = useState(false);
  const { job } = base;
  const asset = job?.assets[0];
  return (
    <div className="flex flex-wrap items-center gap-4">
      {asset && <Thumbnail asset={asset} alt="" className="size-18 rounded-lg" />}
      <div className="min-w-44 flex-1">
        {job && (
          <>
            <p className="text-sm font-medium">{title(job.job_type)}</p>
            <p className="line-clamp-2 text-[13px] text-muted">{job.prompt}</p>
          </>
        )}
        {base.isGone && <p className="text-sm text-muted">{texts.baseGone}</p>}
        {!job && !base.isGone && <p className="text-sm text-muted">{texts.needsJob}</p>}
      </div>
      <Button onClick={() => setIsPicking(true)}>{job ? texts.changeJob : texts.chooseJob}</Button>
      <Picker
        isOpen={isPicking}
        onClose={() => setIsPicking(false)}
        title={texts.pickBase}
        most={1}
        ids={base_job ? [base_job] : []}
        onChange={(ids) => {
          setBase({ isOfJob: true, base_job: ids[0] ?? null });
          if (ids.length > 0) setIsPicking(false);
        }}
      />
    </div>
  );
}

/** In words: what else all jobs have. */
function Fixed({ base }: { base: BaseState }) {
  const messages = useMessages();
  const texts = messages.grid;
  const names = new Set(base.axes.map((axis) => axis.name));
  const isFree = names.has("preset") || names.has("job_type");
  const fixed = isFree
    ? []
    : Object.entries(base.draft.values)
        .filter(([name]) => !names.has(name))
        .map(([name, value]) => `${parameterName(name, messages)} ${valueName(name, value)}`);
  const seed = names.has("seed")
    ? texts.seedAxis
    : base.draft.seed === null
      ? texts.seedDrawn
      : texts.seedFixed(String(base.draft.seed));
  return (
    <p className="mt-4 text-[13px] text-muted">
      {isFree && `${texts.presetFree} `}
      {fixed.length > 0 && `${texts.settingsOf(fixed.join(", "))} `}
      {seed}
    </p>
  );
}
