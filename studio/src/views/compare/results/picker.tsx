import { useInfiniteQuery } from "@tanstack/react-query";
import { Check, Search } from "lucide-react";
import { useDeferredValue, useState } from "react";
import type { Job } from "@/api/client";
import { libraryQuery } from "@/api/queries";
import { title } from "@/lib/format";
import { Thumbnail } from "@/media";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { cx } from "@/ui/cx";
import { Dialog } from "@/ui/dialog";
import { Input } from "@/ui/field";
import { ErrorState, Loading } from "@/ui/states";

interface Props {
  isOpen: boolean;
  onClose(): void;
  title: string;
  /** How many may be chosen; of one, the last choice counts. */
  most: number;
  ids: readonly string[];
  onChange(ids: string[]): void;
}

/** Finished results, newest first, to choose from. */
export function Picker({ isOpen, onClose, title: heading, most, ids, onChange }: Props) {
  const texts = useMessages().compare;
  return (
    <Dialog
      isOpen={isOpen}
      onClose={onClose}
      title={heading}
      size="lg"
      footer={
        most > 1 && (
          <>
            <p className="mr-auto self-center text-[13px] text-muted" aria-live="polite">
              {ids.length >= most ? texts.full(most) : texts.picked(ids.length, most)}
            </p>
            <Button variant="primary" onClick={onClose}>
              {texts.pickDone}
            </Button>
          </>
        )
      }
    >
      <Choices most={most} ids={ids} onChange={onChange} />
    </Dialog>
  );
}

function Choices({ most, ids, onChange }: Pick<Props, "most" | "ids" | "onChange">) {
  const texts = useMessages().compare;
  const [text, setText] = useState("");
  const wish = useDeferredValue(text.trim());
  const found = useInfiniteQuery(
    libraryQuery({ state: ["succeeded"], ...(wish ? { text: wish } : {}) }),
  );
  const jobs = (found.data?.pages ?? [])
    .flatMap((page) => page.data)
    .filter((job) => job.assets.length > 0);
  const toggle = (id: string) =>
    onChange(ids.includes(id) ? ids.filter((each) => each !== id) : [...ids, id].slice(-most));
  return (
    <div className="flex flex-col gap-4 pt-1">
      <div className="relative">
        <Search
          size={16}
          aria-hidden
          className="pointer-events-none absolute top-1/2 left-3 -translate-y-1/2 text-faint"
        />
        <Input
          type="search"
          aria-label={texts.search}
          placeholder={texts.searchPlaceholder}
          value={text}
          onChange={(event) => setText(event.target.value)}
          className="pl-9"
        />
      </div>
      {found.isPending && <Loading />}
      {found.isError && <ErrorState error={found.error} onRetry={() => void found.refetch()} />}
      {found.isSuccess && jobs.length === 0 && (
        <p className="py-8 text-center text-sm text-muted">
          {wish ? texts.pickNone : texts.pickEmpty}
        </p>
      )}
      <ul className="grid grid-cols-2 gap-2 sm:grid-cols-3 md:grid-cols-4">
        {jobs.map((job) => (
          <li key={job.id}>
            <Choice
              job={job}
              place={ids.indexOf(job.id)}
              isFull={most > 1 && ids.length >= most}
              onToggle={() => toggle(job.id)}
            />
          </li>
        ))}
      </ul>
      {found.hasNextPage && (
        <Button
          className="self-center"
          isBusy={found.isFetchingNextPage}
          onClick={() => void found.fetchNextPage()}
        >
          {texts.pickMore}
        </Button>
      )}
    </div>
  );
}

interface ChoiceProps {
  job: Job;
  /** Where it stands among the chosen; -1: it is not chosen. */
  place: number;
  isFull: boolean;
  onToggle(): void;
}

function Choice({ job, place, isFull, onToggle }: ChoiceProps) {
  const messages = useMessages();
  const asset = job.assets[0];
  const isChosen = place >= 0;
  return (
    <button
      type="button"
      aria-pressed={isChosen}
      disabled={isFull && !isChosen}
      onClick={onToggle}
      className={cx(
        "flex w-full flex-col overflow-hidden rounded-xl border bg-surface text-left disabled:opacity-50",
        isChosen ? "border-accent ring-1 ring-accent" : "border-line hover:border-line-strong",
      )}
    >
      <span className="relative block w-full">
        {asset && <Thumbnail asset={asset} alt="" className="aspect-4/3 w-full" />}
        {isChosen && (
          <span
            aria-hidden
            className="absolute top-1.5 right-1.5 grid size-6 place-items-center rounded-full bg-accent text-on-accent"
          >
            <Check size={14} />
          </span>
        )}
      </span>
      <span className="flex flex-col gap-0.5 px-2.5 py-2">
        <span className="line-clamp-2 text-[13px] leading-snug">{job.prompt}</span>
        <span className="numeric truncate text-xs text-muted">
          {title(job.job_type)} · {messages.media.steps(job.num_inference_steps)} · {job.scheduler}
        </span>
      </span>
    </button>
  );
}
