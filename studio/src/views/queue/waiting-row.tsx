import { useQuery } from "@tanstack/react-query";
import { EllipsisVertical, GripVertical, X } from "lucide-react";
import { type KeyboardEvent, memo, type PointerEvent } from "react";
import { useLocation } from "wouter";
import { useCancel } from "@/api/actions";
import type { Job } from "@/api/client";
import { duration, interval, moment, title } from "@/lib/format";
import { type Messages, useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { cx } from "@/ui/cx";
import { Menu } from "@/ui/menu";
import { expectedQuery } from "@/views/queue/queries";

export interface RowHandlers {
  onPress(event: PointerEvent, id: string): void;
  onKey(event: KeyboardEvent, id: string): void;
  onFocus(id: string): void;
  onLeave(id: string): void;
  moveTo(id: string, index: number): void;
}

interface Props {
  job: Job;
  index: number;
  count: number;
  isActive: boolean;
  isLifted: boolean;
  /** Seen long enough to ask when it starts. */
  isSettled: boolean;
  handlers: RowHandlers;
}

/** A waiting job: its place, when it starts, what it takes, and how to move it. */
export const WaitingRow = memo(function WaitingRow(props: Props) {
  const { job, index, count, isActive, isLifted, isSettled, handlers } = props;
  const messages = useMessages();
  const texts = messages.queue;
  const { data: full } = useQuery({ ...expectedQuery(job.id), enabled: isSettled });
  const cancel = useCancel();
  const tabIndex = isActive ? 0 : -1;
  const kind = job.kind === "enhance" ? texts.enhance : title(job.job_type);
  const start = startText(job, full, index, messages);
  const takes = full?.expected ? duration(full.expected.total_s) : null;
  return (
    <div
      className={cx(
        "flex h-full items-center gap-2 border-b border-line bg-surface pr-2 pl-1 sm:gap-3 sm:pr-3 sm:pl-2",
        isLifted && "rounded-xl border-transparent bg-raised opacity-90 shadow-pop",
      )}
    >
      <button
        type="button"
        data-handle={job.id}
        tabIndex={tabIndex}
        aria-label={texts.handle(job.prompt, index + 1, count)}
        aria-pressed={isLifted}
        title={texts.handleHint}
        className="grid h-11 w-7 shrink-0 cursor-grab touch-none place-items-center rounded-md text-faint hover:text-ink active:cursor-grabbing"
        onPointerDown={(event) => handlers.onPress(event, job.id)}
        onKeyDown={(event) => handlers.onKey(event, job.id)}
        onFocus={() => handlers.onFocus(job.id)}
        onBlur={() => handlers.onLeave(job.id)}
      >
        <GripVertical size={16} aria-hidden />
      </button>
      <span className="numeric -ml-1 min-w-5 shrink-0 text-center text-xs text-muted" aria-hidden>
        {index + 1}
      </span>
      <div className="min-w-0 flex-1">
        <p className="truncate text-sm font-medium" title={job.prompt}>
          {job.prompt}
        </p>
        <p className="truncate text-xs text-muted">
          {kind}
          <span className="max-sm:hidden"> · {job.model}</span>
          <span className="numeric sm:hidden">
            {start && ` · ${start}`}
            {takes && ` · ${texts.takes(takes)}`}
          </span>
        </p>
      </div>
      <span
        title={job.is_held ? texts.heldHint : undefined}
        className={cx(
          "numeric hidden w-32 shrink-0 text-right text-[13px] sm:block",
          job.is_held && "text-warn",
        )}
      >
        {start}
      </span>
      <Takes job={full} text={takes} />
      <div className="flex shrink-0 items-center">
        <Menu
          trigger={
            <Button
              size="sm"
              variant="ghost"
              tabIndex={tabIndex}
              aria-label={texts.actionsOf(job.prompt)}
              className="w-8 px-0!"
              icon={<EllipsisVertical size={16} />}
            />
          }
          items={useRowItems(props)}
        />
        <Button
          size="sm"
          variant="ghost"
          tabIndex={tabIndex}
          title={messages.actions.cancel}
          aria-label={texts.cancelJob(job.prompt)}
          disabled={job.is_cancel_requested}
          className="w-8 px-0!"
          icon={<X size={16} />}
          onClick={() => cancel.mutate({ job })}
        />
      </div>
    </div>
  );
});

function Takes({ job, text }: { job: Job | undefined; text: string | null }) {
  const texts = useMessages().queue;
  const expected = job?.expected;
  const hint =
    expected &&
    (expected.basis === "prior"
      ? texts.guess
      : texts.interval(interval(expected.low_s, expected.high_s)));
  return (
    <span
      className="numeric hidden w-24 shrink-0 text-right text-[13px] text-muted sm:block"
      title={hint ?? undefined}
    >
      {text}
    </span>
  );
}

function useRowItems({ job, index, count, handlers }: Props) {
  const messages = useMessages();
  const texts = messages.queue;
  const [, navigate] = useLocation();
  const to = (label: string, place: number) => ({
    label,
    isDisabled: place === index || place < 0 || place >= count,
    onSelect: () => handlers.moveTo(job.id, place),
  });
  return [
    to(texts.toFront, 0),
    to(texts.up, index - 1),
    to(texts.down, index + 1),
    to(texts.toEnd, count - 1),
    null,
    { label: messages.actions.open, onSelect: () => navigate(`/library/${job.id}`) },
  ];
}

function startText(job: Job, full: Job | undefined, index: number, messages: Messages): string {
  const texts = messages.queue;
  if (job.is_cancel_requested) return messages.states.cancelling;
  if (job.is_held) return messages.states.held;
  if (Date.parse(job.run_at) > Date.now() + 1000) return texts.startsAt(moment(job.run_at));
  if (!full?.starts_in) return "";
  const { seconds } = full.starts_in;
  return seconds < 1 && index === 0 ? texts.startsNow : texts.startsIn(duration(seconds));
}
