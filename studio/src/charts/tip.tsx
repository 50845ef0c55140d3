import type { ReactNode } from "react";

interface Props {
  /** In pixels of the chart, whose box is positioned. */
  x: number;
  y: number;
  width: number;
  children: ReactNode;
}

/** What is under the pointer, beside it and always inside the chart's width. */
export function ChartTip({ x, y, width, children }: Props) {
  const isRight = x > width / 2;
  return (
    <div
      aria-hidden
      className="pointer-events-none absolute z-10 max-w-[min(17rem,80%)] rounded-lg border border-line bg-raised px-2.5 py-1.5 text-xs shadow-pop"
      style={{
        left: isRight ? undefined : x + 12,
        right: isRight ? width - x + 12 : undefined,
        top: y,
        transform: "translateY(-50%)",
      }}
    >
      {children}
    </div>
  );
}
