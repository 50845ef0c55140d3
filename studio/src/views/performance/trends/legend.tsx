import type { ReactNode } from "react";
import { useMessages } from "@/messages";

interface Props {
  hasLeftOut: boolean;
  hasLevels: boolean;
  hasChanges: boolean;
  hasLog: boolean;
}

/** What the signs of the chart mean; only those that are there. */
export function SeriesLegend({ hasLeftOut, hasLevels, hasChanges, hasLog }: Props) {
  const words = useMessages().performance.trends.legend;
  return (
    <ul className="mt-2 flex flex-wrap gap-x-4 gap-y-1 text-xs text-muted">
      <Entry text={words.run}>
        <span className="size-1.5 rounded-full bg-accent" />
      </Entry>
      {hasLeftOut && (
        <Entry text={words.leftOut}>
          <span className="size-2 rounded-full border border-line-strong" />
        </Entry>
      )}
      {hasLevels && (
        <Entry text={words.level}>
          <span className="flex h-2.5 w-4 items-center bg-accent/15">
            <span className="h-px w-full bg-accent" />
          </span>
        </Entry>
      )}
      {hasChanges && (
        <Entry text={words.change}>
          <span className="h-3 w-0.5 bg-ink" />
        </Entry>
      )}
      {hasLog && (
        <Entry text={words.log}>
          <span className="h-3 w-0 border-l border-dashed border-line-strong" />
        </Entry>
      )}
    </ul>
  );
}

function Entry({ text, children }: { text: string; children: ReactNode }) {
  return (
    <li className="flex items-center gap-1.5">
      <span aria-hidden className="flex w-4 justify-center">
        {children}
      </span>
      {text}
    </li>
  );
}
