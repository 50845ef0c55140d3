import { cx } from "@/ui/cx";

/** The name of a result, on its picture or beside it. */
export function Tag({ name, className }: { name: string; className?: string }) {
  return (
    <span
      className={cx(
        "numeric grid h-6 min-w-6 place-items-center rounded-md border border-line bg-raised px-1.5 text-xs font-semibold text-ink",
        className,
      )}
    >
      {name}
    </span>
  );
}
