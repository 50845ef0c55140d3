import { useId } from "react";
import { cx } from "@/ui/cx";
import { Select } from "@/ui/field";

interface Props {
  label: string;
  value: string;
  onChange(value: string): void;
  options: readonly { value: string; label: string }[];
  className?: string;
}

/** A list with its small label above: one filter of a panel. */
export function Choice({ label, value, onChange, options, className }: Props) {
  const id = useId();
  return (
    <div className={cx("flex min-w-0 flex-col gap-1", className)}>
      <label htmlFor={id} className="text-xs text-muted">
        {label}
      </label>
      <Select
        id={id}
        value={value}
        onChange={(event) => onChange(event.target.value)}
        options={options}
        className="h-8! text-[13px]!"
      />
    </div>
  );
}
