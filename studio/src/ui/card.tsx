import type { HTMLAttributes, ReactNode } from "react";
import { cx } from "@/ui/cx";

export function Card({ className, ...props }: HTMLAttributes<HTMLDivElement>) {
  return (
    <div
      {...props}
      className={cx("rounded-2xl border border-line bg-surface shadow-card", className)}
    />
  );
}

interface SectionProps {
  title: ReactNode;
  text?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
  className?: string;
  id?: string;
}

/** A titled card: a panel of the dashboard, a part of a form. */
export function Section({ title, text, actions, children, className, id }: SectionProps) {
  const heading = id ? `${id}-title` : undefined;
  return (
    <section
      id={id}
      aria-labelledby={heading}
      className={cx("rounded-2xl border border-line bg-surface p-4 shadow-card sm:p-5", className)}
    >
      <div className="mb-3 flex flex-wrap items-start justify-between gap-x-4 gap-y-2">
        <div className="min-w-0">
          <h2 id={heading} className="text-[15px] font-semibold">
            {title}
          </h2>
          {text && <p className="mt-0.5 max-w-prose text-[13px] text-muted">{text}</p>}
        </div>
        {actions && <div className="flex flex-wrap items-center gap-1.5">{actions}</div>}
      </div>
      {children}
    </section>
  );
}

/** A number with its name: the smallest thing a dashboard says. */
export function Stat({
  name,
  value,
  detail,
}: {
  name: ReactNode;
  value: ReactNode;
  detail?: ReactNode;
}) {
  return (
    <div className="min-w-0">
      <dt className="text-xs text-muted">{name}</dt>
      <dd className="numeric mt-0.5 text-lg font-semibold tracking-tight">{value}</dd>
      {detail && <dd className="text-xs text-muted">{detail}</dd>}
    </div>
  );
}
