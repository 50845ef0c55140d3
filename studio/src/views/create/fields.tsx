import { RotateCcw } from "lucide-react";
import { type ComponentProps, type ReactNode, useState } from "react";
import { duration, number } from "@/lib/format";
import { useMessages } from "@/messages";
import { cx } from "@/ui/cx";
import { Field as Labelled, NumberField, Select } from "@/ui/field";
import { useFieldValue } from "@/views/create/form";
import { secondsOf, usualLengths } from "@/views/create/frames";
import {
  type ChoiceField,
  type Field,
  type FieldName,
  type NumericField,
  snap,
  type Value,
} from "@/views/create/schema";
import { useProblem } from "@/views/create/service";

/** A field as the schema describes it. */
export function SchemaField({ field }: { field: Field }) {
  if (field.kind === "choice") return <Choice field={field} />;
  if (field.name === "num_frames") return <Frames field={field} />;
  if (field.name === "num_inference_steps") return <Ranged field={field} />;
  return <Plain field={field} />;
}

function useName(name: FieldName): string {
  const { parameters } = useMessages();
  if (name === "num_frames") return parameters.duration; // counted in frames, told in seconds
  return (parameters as Record<string, string>)[name] ?? name;
}

/** Marks what differs from the preset, and takes it back. */
export function ResetButton({
  name,
  value,
  onReset,
}: {
  name: string;
  value: string;
  onReset(): void;
}) {
  const { settings } = useMessages().create;
  return (
    <button
      type="button"
      aria-label={settings.reset(name, value)}
      onClick={onReset}
      className="-my-1 inline-flex min-h-6 items-center gap-1 rounded-md px-1 text-xs text-accent-ink hover:bg-accent-soft"
    >
      <RotateCcw size={12} aria-hidden />
      {settings.resetTo(value)}
    </button>
  );
}

function useField<T extends Value>(field: Field, shown: (value: T) => string) {
  const name = useName(field.name);
  const { original, isChanged, value, set, reset } = useFieldValue<T>(field.name);
  const error = useProblem(field.name);
  const aside =
    isChanged && original !== undefined ? (
      <ResetButton name={name} value={shown(original)} onReset={reset} />
    ) : undefined;
  return { name, value, set, error, aside, hint: field.isAdvanced ? field.text : undefined };
}

const decimal = (value: number): string => number(value, Number.isInteger(value) ? 0 : 1);

/** A number that takes only what is legal: what is typed becomes the nearest when it is left. */
export function LegalNumber({
  field,
  value,
  onChange,
  label,
  ...ids
}: Omit<ComponentProps<typeof NumberField>, "onChange" | "min" | "max" | "step"> & {
  field: NumericField;
  onChange(value: number): void;
}) {
  const [round, setRound] = useState(0);
  return (
    <NumberField
      {...ids}
      key={round}
      label={label}
      value={value}
      min={field.min}
      max={field.max}
      step={field.step}
      onChange={(wish) => {
        const legal = snap(field, wish);
        if (legal === value)
          setRound(round + 1); // shows the old value again
        else onChange(legal);
      }}
    />
  );
}

function Plain({ field }: { field: NumericField }) {
  const { name, value, set, error, aside, hint } = useField<number>(field, decimal);
  return (
    <Labelled label={name} error={error} aside={aside} hint={hint}>
      {(ids) => (
        <LegalNumber
          {...ids}
          label={name}
          field={field}
          value={value ?? field.min}
          onChange={set}
        />
      )}
    </Labelled>
  );
}

function Choice({ field }: { field: ChoiceField }) {
  const { choices } = useMessages().create;
  const text = (value: string) => choices[value] ?? value;
  const { name, value, set, error, aside, hint } = useField<string>(field, text);
  return (
    <Labelled label={name} error={error} aside={aside} hint={hint}>
      {(ids) => (
        <Select
          {...ids}
          value={value ?? field.options[0] ?? ""}
          options={field.options.map((each) => ({ value: each, label: text(each) }))}
          onChange={(event) => set(event.target.value)}
        />
      )}
    </Labelled>
  );
}

export function Slider({ className, ...props }: ComponentProps<"input">) {
  return (
    <input {...props} type="range" className={cx("h-6 w-full min-w-0 accent-accent", className)} />
  );
}

function Ranged({ field }: { field: NumericField }) {
  const { name, value = field.min, set, error, aside, hint } = useField<number>(field, decimal);
  return (
    <Labelled label={name} error={error} aside={aside} hint={hint}>
      {(ids) => (
        <div className="flex items-center gap-3">
          <Slider
            {...ids}
            min={field.min}
            max={field.max}
            step={field.step}
            value={value}
            onChange={(event) => set(snap(field, event.target.valueAsNumber))}
          />
          <div className="w-28 shrink-0">
            <LegalNumber label={name} field={field} value={value} onChange={set} />
          </div>
        </div>
      )}
    </Labelled>
  );
}

/** Frame counts that the model makes, told in seconds. */
function Frames({ field }: { field: NumericField }) {
  const { create } = useMessages();
  const { value: fps = 16 } = useFieldValue<number>("fps");
  const text = (count: number) => create.settings.length(count, duration(secondsOf(count, fps)));
  const { name, value = field.min, set, error, aside, hint } = useField<number>(field, text);
  return (
    <Labelled label={name} error={error} aside={aside} hint={hint}>
      {(ids) => (
        <>
          <div className="flex items-center gap-3">
            <Slider
              {...ids}
              min={field.min}
              max={field.max}
              step={field.step}
              value={value}
              aria-valuetext={text(value)}
              onChange={(event) => set(snap(field, event.target.valueAsNumber))}
            />
            <output htmlFor={ids.id} className="numeric w-28 shrink-0 text-right text-[13px]">
              {text(value)}
            </output>
          </div>
          <Lengths field={field} fps={fps} value={value} onChange={set} />
        </>
      )}
    </Labelled>
  );
}

interface LengthsProps {
  field: NumericField;
  fps: number;
  value: number;
  onChange(value: number): void;
}

function Lengths({ field, fps, value, onChange }: LengthsProps) {
  const { settings } = useMessages().create;
  return (
    <Chips label={settings.lengths}>
      {usualLengths(field, fps).map(({ seconds, numFrames }) => (
        <Chip key={seconds} isOn={numFrames === value} onPress={() => onChange(numFrames)}>
          {settings.lengthOf(seconds)}
        </Chip>
      ))}
    </Chips>
  );
}

export function Chips({ label, children }: { label: string; children: ReactNode }) {
  return (
    <fieldset className="flex min-w-0 flex-wrap gap-1.5">
      <legend className="sr-only">{label}</legend>
      {children}
    </fieldset>
  );
}

export function Chip({
  isOn,
  onPress,
  children,
  title,
}: {
  isOn: boolean;
  onPress(): void;
  children: ReactNode;
  title?: string;
}) {
  return (
    <button
      type="button"
      aria-pressed={isOn}
      title={title}
      onClick={onPress}
      className="numeric inline-flex h-7 items-center gap-1.5 rounded-md border border-line px-2 text-xs text-muted hover:border-line-strong hover:text-ink aria-pressed:border-accent aria-pressed:bg-accent-soft/50 aria-pressed:text-ink"
    >
      {children}
    </button>
  );
}
