import { useQuery } from "@tanstack/react-query";
import { Play } from "lucide-react";
import { type FormEvent, useState } from "react";
import { useSearchParams } from "wouter";
import { catalogueQuery } from "@/api/queries";
import { duration, title } from "@/lib/format";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { Section } from "@/ui/card";
import { Field, NumberField, Select, Switch } from "@/ui/field";
import { Segmented } from "@/ui/tabs";
import { matrixQuery } from "@/views/performance/queries";
import { type Request, useStart } from "./queries";
import { estimate_s } from "./report";

type Suite = NonNullable<Request["suite"]>;
const SUITES: readonly Suite[] = ["quick", "standard", "full"];
const BASELINE = "baseline";
const MAX_SEED = 2 ** 31 - 1;

/** What is to be measured, and the button that starts it. */
export function StartForm({ isRunning }: { isRunning: boolean }) {
  const texts = useMessages().performance.panels.protocol;
  const [params] = useSearchParams();
  const { data: catalogue } = useQuery(catalogueQuery);
  const { data: matrix } = useQuery(matrixQuery);
  const [suite, setSuite] = useState<Suite>("quick");
  const [chosen, setChosen] = useState<readonly string[]>(() => params.getAll("job_type"));
  const [wish, setWish] = useState(params.get("preset") ?? BASELINE);
  const [seed, setSeed] = useState(7);
  const [isForced, setIsForced] = useState(false);
  const start = useStart();
  const types = catalogue?.job_types ?? [];
  const wanted = chosen.length > 0 ? types.filter(({ name }) => chosen.includes(name)) : types;
  const presets = [BASELINE, "balanced", "aggressive", "quality"].filter((name) =>
    wanted.every((type) => type.presets.some((preset) => preset.name === name)),
  );
  const preset = presets.includes(wish) ? wish : BASELINE;
  const names = wanted.map(({ name }) => name);
  const seconds = matrix ? estimate_s(suite, names, matrix.rows) : null;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    start.mutate({ suite, job_types: [...chosen], preset, seed, is_forced: isForced });
  };
  return (
    <Section id="start-run" title={texts.startTitle} text={texts.startText}>
      <form onSubmit={submit} className="flex flex-col gap-5">
        <div className="flex flex-col gap-1.5">
          <span className="text-[13px] font-medium">{texts.suite}</span>
          <Segmented<Suite>
            value={suite}
            onChange={setSuite}
            label={texts.suite}
            options={SUITES.map((value) => ({ value, label: texts.suites[value] }))}
          />
          <p className="text-xs text-muted">{texts.suiteHints[suite]}</p>
        </div>
        <JobTypes all={types.map(({ name }) => name)} chosen={chosen} onChange={setChosen} />
        <div className="grid grid-cols-1 gap-4 sm:grid-cols-2">
          <Field label={texts.preset}>
            {(ids) => (
              <Select
                {...ids}
                value={preset}
                onChange={(event) => setWish(event.target.value)}
                options={presets.map((value) => ({ value, label: title(value) }))}
              />
            )}
          </Field>
          <Field label={texts.seed}>
            {(ids) => (
              <NumberField
                {...ids}
                label={texts.seed}
                value={seed}
                onChange={setSeed}
                min={0}
                max={MAX_SEED}
                isWhole
              />
            )}
          </Field>
        </div>
        <Switch
          isOn={isForced}
          onChange={setIsForced}
          label={texts.forced}
          hint={texts.forcedHint}
        />
        <div className="flex flex-wrap items-center gap-3">
          <Button
            type="submit"
            variant="primary"
            icon={<Play size={15} />}
            isBusy={start.isPending}
            disabled={isRunning}
          >
            {texts.start}
          </Button>
          <p className="text-[13px] text-muted">
            {isRunning
              ? texts.oneAtATime
              : seconds === null
                ? texts.noEstimate
                : texts.estimate(duration(seconds))}
          </p>
        </div>
      </form>
    </Section>
  );
}

interface JobTypesProps {
  all: readonly string[];
  chosen: readonly string[];
  onChange(chosen: readonly string[]): void;
}

function JobTypes({ all, chosen, onChange }: JobTypesProps) {
  const texts = useMessages().performance.panels.protocol;
  return (
    <fieldset>
      <legend className="mb-1.5 text-[13px] font-medium">{texts.jobTypes}</legend>
      <div className="grid grid-cols-1 gap-x-4 sm:grid-cols-2">
        {all.map((name) => (
          <label key={name} className="flex min-h-8 items-center gap-2.5 text-[13px]">
            <input
              type="checkbox"
              className="size-4 accent-(--accent)"
              checked={chosen.includes(name)}
              onChange={(event) =>
                onChange(
                  event.target.checked ? [...chosen, name] : chosen.filter((each) => each !== name),
                )
              }
            />
            {title(name)}
          </label>
        ))}
      </div>
      <p className="mt-1 text-xs text-muted">
        {chosen.length === 0 ? texts.allTypes : texts.someTypes(chosen.length)}
      </p>
    </fieldset>
  );
}
