import { duration, interval, number, percent } from "@/lib/format";
import type { Messages } from "@/messages";
import { Badge } from "@/ui/badge";
import type { Column } from "@/ui/data-table";
import type { Estimate, Point } from "./points";

type Texts = Messages["performance"]["panels"]["pareto"];

const stars = (value: Estimate | null): string =>
  value === null ? "–" : `${number(value.value, 1)} (${value.n})`;

const follows = (value: Estimate | null): string =>
  value === null ? "–" : `${percent(value.value)} (${value.n})`;

/** The columns that say the same as the chart, and what the chart leaves out. */
export function columnsOf(texts: Texts, best: ReadonlySet<string>): Column<Point>[] {
  return [
    {
      key: "name",
      name: texts.settings,
      value: (row) => row.name,
      cell: (row) => (
        <span className="flex flex-wrap items-center gap-2">
          {row.name}
          {best.has(row.id) && <Badge tone="accent">{texts.onFront}</Badge>}
        </span>
      ),
    },
    {
      key: "seconds",
      name: texts.median,
      value: (row) => row.seconds.value,
      cell: (row) => duration(row.seconds.value),
      isNumeric: true,
    },
    {
      key: "interval",
      name: texts.interval,
      value: (row) => interval(row.seconds.low, row.seconds.high),
      isNumeric: true,
    },
    { key: "n", name: texts.runs, value: (row) => row.seconds.n, isNumeric: true },
    {
      key: "stars",
      name: texts.stars,
      value: (row) => row.stars?.value ?? null,
      cell: (row) => stars(row.stars),
      isNumeric: true,
    },
    {
      key: "follows",
      name: texts.follows,
      value: (row) => row.follows?.value ?? null,
      cell: (row) => follows(row.follows),
      isNumeric: true,
    },
  ];
}
