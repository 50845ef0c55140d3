import { Check } from "lucide-react";
import type { Job } from "@/api/client";
import { DEFECTS, toggled, useRate } from "@/media/rating";
import { useMessages } from "@/messages";
import { cx } from "@/ui/cx";

/** What is wrong with an output: each a switch. Flicker is only of videos. */
export function DefectTags({ job, className }: { job: Job; className?: string }) {
  const messages = useMessages();
  const rate = useRate();
  const tags = job.rating?.tags ?? [];
  const shown = DEFECTS.filter((tag) => tag !== "flicker" || job.media_type.startsWith("video/"));
  return (
    <fieldset className={cx("flex flex-wrap gap-1.5", className)}>
      <legend className="sr-only">{messages.media.defects}</legend>
      {shown.map((tag) => {
        const isOn = tags.includes(tag);
        return (
          <button
            key={tag}
            type="button"
            aria-pressed={isOn}
            onClick={() => rate.mutate({ job, tags: toggled(tags, tag) })}
            className={cx(
              "inline-flex h-7 items-center gap-1 rounded-full border px-2.5 text-xs font-medium transition-colors",
              isOn
                ? "border-transparent bg-warn-soft text-warn"
                : "border-line text-muted hover:border-line-strong hover:text-ink",
            )}
          >
            {isOn && <Check size={12} aria-hidden />}
            {messages.media.defect[tag]}
          </button>
        );
      })}
    </fieldset>
  );
}
