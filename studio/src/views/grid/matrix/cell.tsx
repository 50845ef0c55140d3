import { Check } from "lucide-react";
import { memo } from "react";
import type { Job } from "@/api/client";
import { duration } from "@/lib/format";
import { DefectButton, Stars } from "@/media";
import { useMessages } from "@/messages";
import { Badge } from "@/ui/badge";
import { cx } from "@/ui/cx";
import { extremeOf, shareOf, type TimeScale, workOf } from "@/views/grid/logic/scale";
import { Picture } from "@/views/grid/matrix/picture";
import { Unfinished } from "@/views/grid/matrix/unfinished";

interface Props {
  job: Job | null;
  /** Its values in words. */
  name: string;
  scale: TimeScale | null;
  image: number;
  isChosen: boolean;
  onChoose(id: string): void;
  onOpen(id: string): void;
}

const WIDTH = "w-36 sm:w-44";
const MOST_COLOUR = 26; // percent of the accent: text on it stays readable

/** One combination: nothing yet, on its way, done, or why not. */
export const Cell = memo(function Cell(props: Props) {
  const { job, name, scale, image, isChosen, onChoose, onOpen } = props;
  const texts = useMessages().grid;
  if (job === null)
    return (
      <div
        title={texts.missingHint}
        className={cx(WIDTH, "grid h-24 place-items-center rounded-lg text-xs text-faint")}
      >
        {texts.missing}
      </div>
    );
  if (job.state !== "succeeded")
    return (
      <div className={WIDTH}>
        <Unfinished job={job} name={name} onOpen={onOpen} />
      </div>
    );
  const seconds = workOf(job);
  const colour =
    scale && seconds !== null ? Math.round(shareOf(seconds, scale) * MOST_COLOUR) : null;
  return (
    <div
      className={cx(
        WIDTH,
        "group relative flex flex-col overflow-hidden rounded-lg border bg-surface",
        isChosen ? "border-accent ring-1 ring-accent" : "border-line",
      )}
      style={
        colour === null
          ? undefined
          : { background: `color-mix(in oklab, var(--accent) ${colour}%, var(--surface))` }
      }
    >
      <Picture job={job} name={name} image={image} onOpen={onOpen} />
      <Choose name={name} isChosen={isChosen} onChoose={() => onChoose(job.id)} />
      <Figures job={job} seconds={seconds} scale={scale} />
    </div>
  );
});

interface ChooseProps {
  name: string;
  isChosen: boolean;
  onChoose(): void;
}

function Choose({ name, isChosen, onChoose }: ChooseProps) {
  const texts = useMessages().grid;
  return (
    <button
      type="button"
      aria-pressed={isChosen}
      aria-label={texts.select(name)}
      onClick={onChoose}
      className={cx(
        "absolute top-1.5 right-1.5 grid size-6 place-items-center rounded-md border",
        isChosen
          ? "border-accent bg-accent text-on-accent"
          : "border-line-strong bg-surface/90 text-transparent group-hover:text-faint focus-visible:text-faint",
      )}
    >
      <Check size={14} aria-hidden />
    </button>
  );
}

interface FiguresProps {
  job: Job;
  seconds: number | null;
  scale: TimeScale | null;
}

function Figures({ job, seconds, scale }: FiguresProps) {
  const texts = useMessages().grid;
  const step_s = job.ledger?.step_s;
  const extreme = scale && seconds !== null ? extremeOf(seconds, scale) : null;
  return (
    <div className="flex flex-col px-2 pt-1.5 pb-1">
      <div className="flex min-h-5 items-center justify-between gap-2">
        <span className="numeric text-[13px] font-medium">{duration(seconds)}</span>
        {extreme ? (
          <Badge tone={extreme === "fastest" ? "good" : "neutral"} className="h-5!">
            {texts[extreme]}
          </Badge>
        ) : (
          step_s != null && (
            <span className={cx("numeric text-xs", scale ? "text-ink" : "text-muted")}>
              {texts.aStep(duration(step_s))}
            </span>
          )
        )}
      </div>
      <div className="-ml-1.5 flex flex-wrap items-center">
        <Stars job={job} size="sm" />
        <DefectButton job={job} className="max-w-full" />
      </div>
    </div>
  );
}
