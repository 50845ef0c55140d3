import { type ReactNode, useEffect } from "react";
import { useMessages } from "@/messages";
import { cx } from "@/ui/cx";

interface Props {
  title: string;
  text?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
  isWide?: boolean;
}

/** A view: its heading, its name in the window's title, and its content. */
export function Page({ title, text, actions, children, isWide }: Props) {
  const messages = useMessages();
  useEffect(() => {
    document.title = `${title} · ${messages.app.name}`;
  }, [title, messages]);
  return (
    <div
      className={cx(
        "mx-auto w-full px-4 pt-5 pb-10 sm:px-6 lg:px-8",
        isWide ? "max-w-[1720px]" : "max-w-6xl",
      )}
    >
      <div className="mb-5 flex flex-wrap items-end justify-between gap-3">
        <div className="min-w-0">
          <h1 className="text-xl font-semibold tracking-tight">{title}</h1>
          {text && <p className="mt-0.5 max-w-prose text-sm text-muted">{text}</p>}
        </div>
        {actions && <div className="flex flex-wrap items-center gap-2">{actions}</div>}
      </div>
      {children}
    </div>
  );
}
