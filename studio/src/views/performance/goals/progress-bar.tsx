import { percent } from "@/lib/format";
import { cx } from "@/ui/cx";

/** A computed share of the way; nothing where nothing can be said. */
export function ProgressBar({ share, label }: { share: number | null; label: string }) {
  return (
    <div className="flex items-center gap-3">
      <div
        role="progressbar"
        aria-label={label}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={share === null ? undefined : Math.round(100 * share)}
        className="h-1.5 min-w-0 flex-1 overflow-hidden rounded-full bg-sunken"
      >
        {share !== null && (
          <div
            className={cx("h-full", share >= 1 ? "bg-good" : "bg-accent")}
            style={{ width: `${100 * Math.min(1, share)}%` }}
          />
        )}
      </div>
      <span className="numeric w-12 text-right text-xs text-muted">{percent(share)}</span>
    </div>
  );
}
