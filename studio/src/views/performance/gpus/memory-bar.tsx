import { bytes, percent } from "@/lib/format";
import { useMessages } from "@/messages";
import { Badge, type Tone } from "@/ui/badge";
import { ChartFrame } from "@/ui/chart-frame";
import { cx } from "@/ui/cx";
import { type MemoryPart, memorySlices, type WorkerMemory } from "./memory";

const FILLS: Record<MemoryPart, string> = {
  weights: "bg-accent",
  derived: "bg-accent/55",
  arriving: "bg-accent/30",
  activations: "bg-line-strong/60",
  free: "bg-transparent",
};
const TONES: Record<WorkerMemory["level"], Tone> = { ok: "good", tight: "warn", full: "bad" };

/** How full the device is, and with what, as the worker's plan counts it. */
export function MemoryBar({ memory }: { memory: WorkerMemory }) {
  const texts = useMessages().performance.panels.gpus;
  const slices = memorySlices(memory);
  const label = slices
    .map(
      ({ part, bytes: size, share }) => `${texts.parts[part]} ${bytes(size)} (${percent(share)})`,
    )
    .join(", ");
  return (
    <ChartFrame
      title={texts.memory}
      summary={label}
      columns={[
        { key: "part", name: texts.part, value: (row) => texts.parts[row.part] },
        {
          key: "bytes",
          name: texts.size,
          value: (row) => row.bytes,
          cell: (row) => bytes(row.bytes),
          isNumeric: true,
        },
        {
          key: "share",
          name: texts.share,
          value: (row) => row.share,
          cell: (row) => percent(row.share),
          isNumeric: true,
        },
      ]}
      rows={slices}
      rowKey={(row) => row.part}
    >
      <p className="mb-1.5 flex flex-wrap items-center gap-2 text-xs text-muted">
        {memory.budget_bytes > 0 ? texts.budget(bytes(memory.budget_bytes)) : texts.noBudget}
        {memory.budget_bytes > 0 && (
          <Badge tone={TONES[memory.level]}>{texts.levels[memory.level]}</Badge>
        )}
      </p>
      <div
        role="img"
        aria-label={label}
        className="flex h-3 gap-px overflow-hidden rounded-full border border-line bg-sunken"
      >
        {slices.map(({ part, share }) => (
          <span key={part} className={FILLS[part]} style={{ width: `${100 * share}%` }} />
        ))}
      </div>
      <ul className="mt-2 flex flex-wrap gap-x-4 gap-y-1 text-xs text-muted">
        {slices.map(({ part, bytes: size }) => (
          <li key={part} className="flex items-center gap-1.5">
            <span
              aria-hidden
              className={cx(
                "size-2 rounded-[3px]",
                FILLS[part],
                part === "free" && "border border-line-strong",
              )}
            />
            {texts.parts[part]} <span className="numeric text-ink">{bytes(size)}</span>
          </li>
        ))}
        {memory.host_bytes > 0 && (
          <li>
            {texts.hostCopies} <span className="numeric text-ink">{bytes(memory.host_bytes)}</span>
            {memory.host_budget_bytes > 0 && ` ${texts.of(bytes(memory.host_budget_bytes))}`}
          </li>
        )}
      </ul>
    </ChartFrame>
  );
}
