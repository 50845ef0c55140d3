import type { Share } from "./success";

/** A share as a mark on its interval, between 0 and 1. */
export function IntervalBar({ share }: { share: Share }) {
  const left = 100 * share.low;
  const width = 100 * (share.high - share.low);
  return (
    <span aria-hidden className="relative block h-4 w-full min-w-24">
      <span className="absolute inset-x-0 top-1/2 h-px bg-line" />
      <span
        className="absolute top-1/2 h-1.5 -translate-y-1/2 rounded-full bg-line-strong/40"
        style={{ left: `${left}%`, width: `${width}%` }}
      />
      <span
        className="absolute top-1/2 h-3 w-[3px] -translate-x-1/2 -translate-y-1/2 rounded-full bg-accent"
        style={{ left: `${100 * share.share}%` }}
      />
    </span>
  );
}
