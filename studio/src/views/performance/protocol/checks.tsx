import { CircleAlert, CircleCheck, CircleX } from "lucide-react";
import { useMessages } from "@/messages";
import type { Check } from "./report";

const ICONS = {
  ok: <CircleCheck size={15} className="text-good" aria-hidden />,
  warn: <CircleAlert size={15} className="text-warn" aria-hidden />,
  refuse: <CircleX size={15} className="text-bad" aria-hidden />,
};

/** What was looked at before the first run, and why it matters. */
export function Checks({ checks }: { checks: readonly Check[] }) {
  const texts = useMessages().performance.panels.protocol;
  return (
    <ul className="grid grid-cols-1 gap-x-8 sm:grid-cols-2">
      {checks.map((check) => (
        <li key={check.name} className="flex gap-2.5 border-b border-line py-1.5 text-[13px]">
          <span className="mt-0.5 shrink-0">{ICONS[check.level]}</span>
          <span className="min-w-0">
            <span className="sr-only">{texts.levels[check.level]}: </span>
            <span className="font-medium">
              {check.name.charAt(0).toUpperCase() + check.name.slice(1)}
            </span>{" "}
            <span className="text-muted">{check.text}</span>
            {check.level !== "ok" && (
              <span className="block text-xs text-muted">
                {[check.reason, check.hint].filter(Boolean).join(". ")}
              </span>
            )}
          </span>
        </li>
      ))}
    </ul>
  );
}
