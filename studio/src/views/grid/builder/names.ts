import { title } from "@/lib/format";
import type { Messages } from "@/messages";
import type { Value } from "@/views/grid/logic/parameters";

export function parameterName(name: string, messages: Messages): string {
  return messages.parameters[name as keyof Messages["parameters"]] ?? title(name);
}

const NAMED = new Set(["job_type", "preset", "fidelity"]);

/** A value as people read it. */
export function valueName(name: string, value: Value): string {
  return NAMED.has(name) ? title(String(value)) : String(value);
}
