import { useQuery } from "@tanstack/react-query";
import { Star } from "lucide-react";
import { type ReactNode, useId } from "react";
import type { JobType, Preset } from "@/api/client";
import { duration, number, title } from "@/lib/format";
import { useMessages } from "@/messages";
import { Card } from "@/ui/card";
import { Segmented } from "@/ui/tabs";
import { useChoose, useForm } from "@/views/create/form";
import { GROUPS, groupOf, inGroup } from "@/views/create/kinds";
import { useMemory } from "@/views/create/memory";
import { expectQuery, matrixQuery, starsQuery } from "@/views/create/queries";
import { presetValues } from "@/views/create/schema";
import { ANY_PROMPT } from "@/views/create/service";
import { measuredSpeed, starsOf } from "@/views/create/speeds";
import { summaryOf } from "@/views/create/summary";

/** Job types of one group at a time, each with what it was measured to take. */
export function TypePicker() {
  const { kinds } = useMessages().create;
  const { catalogue, type } = useForm();
  const { chooseType } = useChoose();
  const lastOf = useMemory((store) => store.lastOf);
  const group = groupOf(type);
  const groups = GROUPS.filter((each) => inGroup(catalogue.job_types, each).length > 0);
  return (
    <Card className="p-4 sm:p-5">
      <div className="mb-3 flex flex-wrap items-center justify-between gap-3">
        <h2 className="text-[15px] font-semibold">{kinds.legend}</h2>
        <Segmented
          label={kinds.groups}
          value={group}
          options={groups.map((each) => ({ value: each, label: kinds[each] }))}
          onChange={(next) => {
            const types = inGroup(catalogue.job_types, next);
            const to = types.find((each) => each.name === lastOf[next]) ?? types[0];
            if (to && next !== group) chooseType(to);
          }}
        />
      </div>
      <Choices legend={kinds.legend}>
        {inGroup(catalogue.job_types, group).map((each) => (
          <Choice
            key={each.name}
            name="job-type"
            isChosen={each.name === type.name}
            onChoose={() => chooseType(each)}
            heading={title(each.name)}
            text={each.text}
          >
            <Facts type={each} preset={each.presets[0]} />
          </Choice>
        ))}
      </Choices>
      {type.presets.length > 1 && <PresetPicker />}
    </Card>
  );
}

function PresetPicker() {
  const messages = useMessages();
  const { create } = messages;
  const { type, preset } = useForm();
  const { choosePreset } = useChoose();
  return (
    <div className="mt-5">
      <h3 className="mb-2.5 text-[13px] font-medium">{create.presets.legend}</h3>
      <Choices legend={create.presets.legend}>
        {type.presets.map((each) => (
          <Choice
            key={each.name}
            name="preset"
            isChosen={each.name === preset.name}
            onChoose={() => choosePreset(each)}
            heading={title(each.name)}
            text={summaryOf(presetValues(type, each), create).join(" · ")}
          >
            <Facts type={type} preset={each} isOfPreset />
          </Choice>
        ))}
      </Choices>
    </div>
  );
}

function Choices({ legend, children }: { legend: string; children: ReactNode }) {
  return (
    <fieldset className="min-w-0">
      <legend className="sr-only">{legend}</legend>
      <div className="grid grid-cols-[repeat(auto-fill,minmax(min(15.5rem,100%),1fr))] gap-2">
        {children}
      </div>
    </fieldset>
  );
}

interface ChoiceProps {
  name: string;
  isChosen: boolean;
  onChoose(): void;
  heading: string;
  text: string;
  children: ReactNode;
}

function Choice({ name, isChosen, onChoose, heading, text, children }: ChoiceProps) {
  const id = useId();
  return (
    <label className="relative flex cursor-pointer gap-3 rounded-xl border border-line p-3 transition-colors hover:border-line-strong has-checked:border-accent has-checked:bg-accent-soft/50 has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-accent">
      <input
        type="radio"
        name={name}
        checked={isChosen}
        onChange={onChoose}
        aria-labelledby={`${id}-name`}
        aria-describedby={`${id}-text ${id}-facts`}
        className="mt-0.5 size-4 shrink-0 accent-accent outline-none"
      />
      <span className="min-w-0 flex-1">
        <span id={`${id}-name`} className="block text-[13px] font-medium">
          {heading}
        </span>
        <span id={`${id}-text`} className="numeric block text-xs text-muted">
          {text}
        </span>
        <span
          id={`${id}-facts`}
          className="mt-1.5 flex min-h-5 flex-wrap items-center gap-x-3 text-xs"
        >
          {children}
        </span>
      </span>
    </label>
  );
}

interface FactsProps {
  type: JobType;
  preset: Preset | undefined;
  isOfPreset?: boolean;
}

function Facts({ type, preset, isOfPreset }: FactsProps) {
  if (!preset) return null;
  return (
    <>
      <SpeedFact type={type} preset={preset} />
      <StarsFact jobType={type.name} preset={isOfPreset ? preset.name : undefined} />
    </>
  );
}

/** Measured where it ran with these values, else what the service expects, and which of both. */
function SpeedFact({ type, preset }: { type: JobType; preset: Preset }) {
  const { speed } = useMessages().create;
  const { data: rows, isPending } = useQuery(matrixQuery);
  const measured = rows ? measuredSpeed(rows, type, preset) : null;
  const body = JSON.stringify({ prompt: ANY_PROMPT, job_type: type.name, preset: preset.name });
  const { data } = useQuery({
    ...expectQuery(body),
    staleTime: 60_000,
    enabled: !isPending && measured === null,
  });
  if (measured)
    return (
      <span className="numeric text-muted">
        <span className="font-semibold text-ink">{duration(measured.seconds)}</span>{" "}
        {speed.basis(measured.n, speed.states[measured.state ?? ""] ?? "")}
      </span>
    );
  if (data?.expected)
    return (
      <span className="numeric text-muted">
        {speed.expected(duration(data.expected.total_s))} {speed.expectedHint}
      </span>
    );
  return <span className="text-muted">{speed.unknown}</span>;
}

function StarsFact({ jobType, preset }: { jobType: string; preset?: string }) {
  const { speed } = useMessages().create;
  const { data } = useQuery(starsQuery);
  const stars = data ? starsOf(data, jobType, preset) : null;
  if (!stars) return null;
  const mean = number(stars.mean, 1);
  return (
    <span className="numeric inline-flex items-center gap-1 text-muted">
      <Star size={12} aria-hidden className="fill-current" />
      <span aria-hidden>
        {mean} ({number(stars.n)})
      </span>
      <span className="sr-only">{speed.stars(mean, stars.n)}</span>
    </span>
  );
}
