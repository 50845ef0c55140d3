import type { ButtonHTMLAttributes, ReactNode, Ref } from "react";
import { cx } from "@/ui/cx";
import { Tip } from "@/ui/tooltip";

type Variant = "primary" | "secondary" | "ghost" | "danger";
type Size = "sm" | "md" | "lg";

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  variant?: Variant;
  size?: Size;
  icon?: ReactNode;
  isBusy?: boolean;
  ref?: Ref<HTMLButtonElement>;
}

const VARIANTS: Record<Variant, string> = {
  primary: "bg-accent text-on-accent hover:bg-accent-ink border border-transparent",
  secondary: "bg-surface text-ink border border-line hover:bg-sunken",
  ghost: "text-muted hover:text-ink hover:bg-sunken border border-transparent",
  danger: "bg-surface text-bad border border-line hover:bg-bad-soft",
};
const SIZES: Record<Size, string> = {
  sm: "h-8 px-2.5 text-[13px] gap-1.5 rounded-md",
  md: "h-9 px-3.5 text-sm gap-2 rounded-lg",
  lg: "h-11 px-5 text-[15px] gap-2 rounded-xl",
};
const BASE =
  "inline-flex items-center justify-center font-medium whitespace-nowrap transition-colors select-none disabled:opacity-50 disabled:cursor-not-allowed";

export function Button(props: Props) {
  const { variant = "secondary", size = "md", icon, isBusy, className, children, ...rest } = props;
  return (
    <button
      type="button"
      aria-busy={isBusy || undefined}
      {...rest}
      disabled={rest.disabled || isBusy}
      className={cx(BASE, VARIANTS[variant], SIZES[size], className)}
    >
      {isBusy ? <Spinner /> : icon}
      {children}
    </button>
  );
}

const SQUARE: Record<Size, string> = { sm: "w-8 px-0!", md: "w-9 px-0!", lg: "w-11 px-0!" };

/** A button that shows only an icon: its label is its name and its tooltip. */
export function IconButton({ label, size = "md", ...props }: Props & { label: string }) {
  return (
    <Tip text={label}>
      <Button
        variant="ghost"
        {...props}
        size={size}
        aria-label={label}
        className={cx(SQUARE[size], props.className)}
      />
    </Tip>
  );
}

export function Spinner() {
  return (
    <span
      aria-hidden
      className="inline-block size-4 animate-spin rounded-full border-2 border-current border-r-transparent"
    />
  );
}
