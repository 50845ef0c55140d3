import type { Schemas } from "@/api/client";
import { bytes } from "@/lib/format";
import { useMessages } from "@/messages";
import { Badge } from "@/ui/badge";

type Memory = Schemas["WorkerMemory"];

const PARTS = [
  ["weights", "weights_bytes", "var(--phase-load)"],
  ["derived", "derived_bytes", "var(--phase-compile)"],
  ["arriving", "arriving_bytes", "var(--phase-enhance)"],
  ["activations", "activations_bytes", "var(--phase-denoise)"],
] as const;

/** How full the worker's device is, as its plan counts. */
export function MemoryBar({ memory }: { memory: Memory | null }) {
  const messages = useMessages().performance.running;
  if (!memory) return <p className="text-[13px] text-muted">{messages.memoryNone}</p>;
  const used = PARTS.reduce((sum, [, field]) => sum + memory[field], 0);
  const whole = Math.max(memory.budget_bytes, used) || 1;
  const text = memory.budget_bytes
    ? messages.memoryOf(bytes(used), bytes(memory.budget_bytes))
    : messages.memoryOpen(bytes(used));
  return (
    <div>
      <div className="flex items-center justify-between gap-2">
        <p className="numeric text-[13px]">{text}</p>
        {memory.level !== "ok" && (
          <Badge tone={memory.level === "full" ? "bad" : "warn"}>
            {messages.memoryLevel[memory.level]}
          </Badge>
        )}
      </div>
      <div aria-hidden className="mt-1.5 flex h-1.5 gap-px overflow-hidden rounded-full bg-sunken">
        {PARTS.map(([name, field, colour]) => (
          <span
            key={name}
            style={{ width: `${(100 * memory[field]) / whole}%`, background: colour }}
          />
        ))}
      </div>
      <ul className="mt-2 flex flex-wrap gap-x-3 gap-y-0.5 text-xs text-muted">
        {PARTS.filter(([, field]) => memory[field] > 0).map(([name, field, colour]) => (
          <li key={name} className="flex items-center gap-1.5">
            <span aria-hidden className="size-2 rounded-[3px]" style={{ background: colour }} />
            {messages.memoryParts[name]}
            <span className="numeric text-ink">{bytes(memory[field])}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
