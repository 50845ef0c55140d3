import { duration } from "@/lib/format";
import { orderedPhases, phaseColour, phaseName } from "@/lib/phases";
import { useMessages } from "@/messages";
import { cx } from "@/ui/cx";

interface Props {
  phases_s: Record<string, number>;
  /** What the whole width stands for; left out: the sum. */
  scale_s?: number;
  className?: string;
  hasLegend?: boolean;
}

/** Where a job's time went, as one bar. Its text says the same for screen readers. */
export function PhaseBar({ phases_s, scale_s, className, hasLegend }: Props) {
  const messages = useMessages();
  const parts = orderedPhases(phases_s);
  const sum = parts.reduce((total, part) => total + part.seconds, 0);
  const whole = Math.max(scale_s ?? sum, sum) || 1;
  const text = parts
    .map((part) => `${phaseName(part.phase, messages)} ${duration(part.seconds)}`)
    .join(", ");
  return (
    <div className={className}>
      <div
        role="img"
        aria-label={text}
        className="flex h-1.5 w-full gap-px overflow-hidden rounded-full bg-sunken"
      >
        {parts.map((part) => (
          <span
            key={part.phase}
            title={`${phaseName(part.phase, messages)}: ${duration(part.seconds)}`}
            style={{
              width: `${(100 * part.seconds) / whole}%`,
              background: phaseColour(part.phase),
            }}
          />
        ))}
      </div>
      {hasLegend && (
        <ul className="mt-2.5 flex flex-wrap gap-x-4 gap-y-1 text-xs text-muted">
          {parts.map((part) => (
            <li key={part.phase} className="flex items-center gap-1.5">
              <PhaseDot phase={part.phase} />
              {phaseName(part.phase, messages)}
              <span className="numeric text-ink">{duration(part.seconds)}</span>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

export function PhaseDot({ phase, className }: { phase: string; className?: string }) {
  return (
    <span
      aria-hidden
      className={cx("inline-block size-2 shrink-0 rounded-[3px]", className)}
      style={{ background: phaseColour(phase) }}
    />
  );
}
