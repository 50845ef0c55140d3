import { CircleAlert } from "lucide-react";
import type { ReactNode } from "react";
import { ApiError } from "@/api/client";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { cx } from "@/ui/cx";

/** Nothing is here yet: why, and what to do. */
export function Empty({
  icon,
  title,
  text,
  action,
}: {
  icon?: ReactNode;
  title: string;
  text?: ReactNode;
  action?: ReactNode;
}) {
  return (
    <div className="flex flex-col items-center gap-2 px-6 py-12 text-center">
      {icon && <div className="mb-1 text-faint">{icon}</div>}
      <p className="text-[15px] font-medium">{title}</p>
      {text && <p className="max-w-sm text-sm text-muted">{text}</p>}
      {action && <div className="mt-2">{action}</div>}
    </div>
  );
}

/** What went wrong, as the service says it, and a way to try again. */
export function ErrorState({ error, onRetry }: { error: unknown; onRetry?(): void }) {
  const messages = useMessages();
  const told = error instanceof ApiError ? error : null;
  return (
    <div
      role="alert"
      className="flex items-start gap-3 rounded-xl border border-line bg-bad-soft px-4 py-3"
    >
      <CircleAlert className="mt-0.5 size-4 shrink-0 text-bad" aria-hidden />
      <div className="min-w-0 flex-1 text-sm">
        <p className="font-medium">{messages.states.errorTitle}</p>
        <p>{told?.message ?? String(error)}</p>
        {told?.hint && <p className="text-muted">{told.hint}</p>}
      </div>
      {onRetry && (
        <Button size="sm" onClick={onRetry}>
          {messages.actions.retry}
        </Button>
      )}
    </div>
  );
}

/** Where something will stand once it has come. */
export function Skeleton({ className }: { className?: string }) {
  return <div aria-hidden className={cx("animate-pulse rounded-lg bg-sunken", className)} />;
}

export function Loading({ className }: { className?: string }) {
  const messages = useMessages();
  return (
    <div role="status" className={cx("flex flex-col gap-3", className)}>
      <span className="sr-only">{messages.states.loading}</span>
      <Skeleton className="h-24" />
      <Skeleton className="h-24" />
    </div>
  );
}
