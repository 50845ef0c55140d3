import { useId, useRef } from "react";
import type { Job } from "@/api/client";
import { useRate } from "@/media/rating";
import { useMessages } from "@/messages";
import { cx } from "@/ui/cx";

const COUNTS = [1, 2, 3, 4, 5];
const SIZES = { sm: "size-6 [--star:14px]", md: "size-7 [--star:18px]" };

interface Props {
  job: Job;
  /** Left out: it is stored as your rating. null takes it back. */
  onRate?(stars: number | null): void;
  size?: keyof typeof SIZES;
  /** -1 leaves it to a list's own keys. */
  tabIndex?: number;
  className?: string;
}

/** One to five stars: a choice by pointer or arrow keys; the chosen one again, or Del, clears it. */
export function Stars({ job, onRate, size = "md", tabIndex, className }: Props) {
  const messages = useMessages();
  const rate = useRate();
  const name = useId();
  const isByPointer = useRef(false);
  const now = job.rating?.stars ?? 0;
  const set = (stars: number | null) =>
    onRate ? onRate(stars) : rate.mutate({ job, stars: stars });
  return (
    <fieldset className={cx("inline-flex", className)}>
      <legend className="sr-only">{messages.media.stars}</legend>
      {COUNTS.map((count) => (
        <input
          key={count}
          type="radio"
          // One element a star: a library shows hundreds of them.
          className={cx(
            "star rounded-md hover:bg-sunken focus-visible:outline-offset-0",
            SIZES[size],
            count <= now ? "is-on text-accent-ink" : "text-faint",
          )}
          name={name}
          tabIndex={tabIndex}
          checked={count === now}
          title={messages.media.star(count)}
          aria-label={messages.media.star(count)}
          onPointerDown={() => {
            isByPointer.current = true;
          }}
          onChange={() => set(count)}
          onClick={(event) => {
            if (count === now) set(null);
            // A pressed star would take the arrow keys of what it stands in.
            if (isByPointer.current) event.currentTarget.blur();
            isByPointer.current = false;
          }}
          onKeyDown={(event) => {
            if (event.key !== "Delete" && event.key !== "Backspace") return;
            event.preventDefault();
            event.stopPropagation();
            set(null);
          }}
        />
      ))}
    </fieldset>
  );
}
