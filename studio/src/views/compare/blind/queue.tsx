import { useMessages } from "@/messages";
import { cx } from "@/ui/cx";
import type { BlindTest } from "@/views/compare/queries";

interface Props {
  open: readonly BlindTest[];
  current: string;
  onOpen(id: string): void;
}

const MOST_SHOWN = 12;

/** Pairs that wait for a vote: numbers, since nothing else may be told of them. */
export function Queue({ open, current, onOpen }: Props) {
  const texts = useMessages().compare;
  if (open.length < 2) return null;
  return (
    <nav aria-label={texts.pairs}>
      <ol className="flex flex-wrap gap-1 sm:justify-end">
        {open.slice(0, MOST_SHOWN).map((test, at) => (
          <li key={test.id}>
            <button
              type="button"
              aria-label={texts.pair(at + 1, open.length)}
              aria-current={test.id === current ? "true" : undefined}
              onClick={() => onOpen(test.id)}
              className={cx(
                "numeric grid h-7 min-w-7 place-items-center rounded-md border px-1.5 text-xs font-medium",
                test.id === current
                  ? "border-accent bg-accent-soft text-accent-ink"
                  : "border-line text-muted hover:border-line-strong hover:text-ink",
              )}
            >
              {at + 1}
            </button>
          </li>
        ))}
      </ol>
    </nav>
  );
}
