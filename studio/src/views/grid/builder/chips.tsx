import { X } from "lucide-react";
import { useMessages } from "@/messages";
import type { Value } from "@/views/grid/logic/parameters";

interface Props {
  label: string;
  values: readonly Value[];
  onRemove(value: Value): void;
}

export function Chips({ label, values, onRemove }: Props) {
  const texts = useMessages().grid;
  if (values.length === 0) return null;
  return (
    <ul aria-label={label} className="flex flex-wrap gap-1.5">
      {values.map((value) => (
        <li
          key={value}
          className="numeric inline-flex min-h-8 max-w-full items-center rounded-lg border border-line bg-sunken pl-2.5 text-[13px]"
        >
          <span className="min-w-0 py-1 break-words">{String(value)}</span>
          <button
            type="button"
            aria-label={texts.removeValue(String(value))}
            onClick={() => onRemove(value)}
            className="grid size-7 shrink-0 place-items-center rounded-md text-muted hover:text-ink"
          >
            <X size={13} aria-hidden />
          </button>
        </li>
      ))}
    </ul>
  );
}
