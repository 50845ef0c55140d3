import { Tabs as Radix } from "radix-ui";
import type { ReactNode } from "react";

interface Props {
  value: string;
  onChange(value: string): void;
  label: string;
  tabs: readonly { value: string; label: ReactNode; content: ReactNode }[];
}

export function Tabs({ value, onChange, label, tabs }: Props) {
  return (
    <Radix.Root value={value} onValueChange={onChange}>
      <Radix.List
        aria-label={label}
        className="mb-4 flex gap-1 overflow-x-auto border-b border-line"
      >
        {tabs.map((tab) => (
          <Radix.Trigger
            key={tab.value}
            value={tab.value}
            className="-mb-px border-b-2 border-transparent px-3 py-2 text-sm font-medium whitespace-nowrap text-muted hover:text-ink data-[state=active]:border-accent data-[state=active]:text-ink"
          >
            {tab.label}
          </Radix.Trigger>
        ))}
      </Radix.List>
      {tabs.map((tab) => (
        <Radix.Content key={tab.value} value={tab.value}>
          {tab.content}
        </Radix.Content>
      ))}
    </Radix.Root>
  );
}

interface SegmentedProps<T extends string> {
  value: T;
  onChange(value: T): void;
  label: string;
  options: readonly { value: T; label: ReactNode }[];
}

/** A choice of a few, all visible. */
export function Segmented<T extends string>({
  value,
  onChange,
  label,
  options,
}: SegmentedProps<T>) {
  return (
    <fieldset className="inline-flex max-w-full overflow-x-auto rounded-lg border border-line bg-sunken p-0.5">
      <legend className="sr-only">{label}</legend>
      {options.map((option) => (
        <button
          key={option.value}
          type="button"
          aria-pressed={option.value === value}
          onClick={() => onChange(option.value)}
          className="h-8 rounded-md px-2.5 text-[13px] font-medium whitespace-nowrap text-muted hover:text-ink aria-pressed:bg-surface aria-pressed:text-ink aria-pressed:shadow-card"
        >
          {option.label}
        </button>
      ))}
    </fieldset>
  );
}
