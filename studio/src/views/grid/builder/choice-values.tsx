import { Check } from "lucide-react";
import { useMessages } from "@/messages";
import { cx } from "@/ui/cx";
import { valueName } from "@/views/grid/builder/names";
import type { Choices, Value } from "@/views/grid/logic/parameters";

interface Props {
  axis: string;
  name: string;
  legal: Choices;
  values: readonly Value[];
  onChange(values: Value[]): void;
}

/** Names to switch on: they stand in the catalogue's order, whatever was pressed first. */
export function ChoiceValues({ axis, name, legal, values, onChange }: Props) {
  const texts = useMessages().grid;
  return (
    <fieldset className="flex flex-wrap gap-1.5">
      <legend className="sr-only">{texts.values(name)}</legend>
      {legal.values.map((value) => {
        const isOn = values.includes(value);
        return (
          <button
            key={value}
            type="button"
            aria-pressed={isOn}
            onClick={() =>
              onChange(
                legal.values.filter((each) => (each === value ? !isOn : values.includes(each))),
              )
            }
            className={cx(
              "inline-flex h-8 items-center gap-1.5 rounded-lg border px-2.5 text-[13px] font-medium",
              isOn
                ? "border-accent bg-accent-soft text-accent-ink"
                : "border-line text-muted hover:border-line-strong hover:text-ink",
            )}
          >
            {isOn && <Check size={13} aria-hidden />}
            {valueName(axis, value)}
          </button>
        );
      })}
    </fieldset>
  );
}
