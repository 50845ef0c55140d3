import { Tag } from "lucide-react";
import { Popover } from "radix-ui";
import { useRef, useState } from "react";
import type { Job } from "@/api/client";
import { DefectTags } from "@/media/defect-tags";
import { useMessages } from "@/messages";
import { cx } from "@/ui/cx";
import { useOwnLayer } from "@/ui/layers";

interface Props {
  job: Job;
  /** Whether to offer it where nothing is said yet; what is said is always told. */
  isOffered?: boolean;
  /** -1 leaves it to a list's own keys. */
  tabIndex?: number;
  className?: string;
}

/** What is wrong with an output, in the room of a card: said in a word, chosen in a pop-up. */
export function DefectButton({ job, isOffered = true, tabIndex, className }: Props) {
  const messages = useMessages();
  const [isOpen, setIsOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const names = (job.rating?.tags ?? []).map((tag) => messages.media.defect[tag]);
  if (names.length === 0 && !isOffered && !isOpen) return null;
  const [first, ...others] = names;
  const all = [messages.media.defects, ...(first ? [names.join(", ")] : [])].join(": ");
  return (
    <>
      <button
        ref={button}
        type="button"
        aria-label={all}
        aria-haspopup="dialog"
        aria-expanded={isOpen}
        title={all}
        tabIndex={tabIndex}
        onClick={() => setIsOpen(!isOpen)}
        className={cx(
          "numeric inline-flex h-6 min-w-6 items-center justify-center gap-1 rounded-md px-1 text-xs",
          first ? "bg-warn-soft text-warn" : "text-faint hover:bg-sunken hover:text-ink",
          className,
        )}
      >
        {first ? (
          <span className="truncate">
            {first}
            {others.length > 0 && ` +${others.length}`}
          </span>
        ) : (
          <Tag size={14} aria-hidden />
        )}
      </button>
      {isOpen && <Choice job={job} button={button} onClose={() => setIsOpen(false)} />}
    </>
  );
}

interface ChoiceProps {
  job: Job;
  button: React.RefObject<HTMLButtonElement | null>;
  onClose(): void;
}

/** Drawn only while it is open: a library shows hundreds of its buttons. */
function Choice({ job, button, onClose }: ChoiceProps) {
  const messages = useMessages();
  const layer = useOwnLayer();
  return (
    <Popover.Root open onOpenChange={onClose}>
      <Popover.Anchor virtualRef={button as React.RefObject<HTMLButtonElement>} />
      <Popover.Portal container={layer}>
        <Popover.Content
          aria-label={messages.media.defects}
          sideOffset={6}
          collisionPadding={8}
          onInteractOutside={(event) => {
            // Its own button closes it itself.
            if (button.current?.contains(event.target as Node)) event.preventDefault();
          }}
          onCloseAutoFocus={(event) => {
            event.preventDefault();
            button.current?.focus({ preventScroll: true });
          }}
          className="z-50 w-72 rounded-xl border border-line bg-raised p-3 shadow-pop"
        >
          <DefectTags job={job} />
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}
