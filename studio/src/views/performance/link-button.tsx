import type { ReactNode } from "react";
import { Link } from "wouter";
import { cx } from "@/ui/cx";

interface Props {
  href: string;
  label?: string;
  className?: string;
  children: ReactNode;
}

/** A link that looks like a small button. */
export function LinkButton({ href, label, className, children }: Props) {
  return (
    <Link
      href={href}
      aria-label={label}
      className={cx(
        "inline-flex h-8 items-center gap-1.5 rounded-md border border-line bg-surface px-2.5 text-[13px] font-medium whitespace-nowrap text-ink hover:bg-sunken",
        className,
      )}
    >
      {children}
    </Link>
  );
}
