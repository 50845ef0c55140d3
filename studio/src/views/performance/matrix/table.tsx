import { ArrowDown, ArrowUp, ChevronDown, ChevronRight } from "lucide-react";
import { Fragment, memo } from "react";
import { percent } from "@/lib/format";
import { useMessages } from "@/messages";
import { cx } from "@/ui/cx";
import {
  BenchmarkLink,
  ExpectedCell,
  NameCell,
  Nothing,
  QualityCell,
  RealCell,
  StatusCell,
  TrendCell,
} from "@/views/performance/matrix/cells";
import { RowDetail } from "@/views/performance/matrix/row-detail";
import {
  nextSort,
  rowKey,
  SORTS,
  type Sort,
  type SortKey,
} from "@/views/performance/matrix/sorting";
import type { MatrixRow } from "@/views/performance/queries";
import { stateName } from "@/views/performance/words";

interface Props {
  rows: readonly MatrixRow[];
  sort: Sort | null;
  open: string | null;
  onSort(sort: Sort | null): void;
  onOpen(key: string | null): void;
}

const NUMERIC: ReadonlySet<SortKey> = new Set(["real", "expected", "cv", "quality", "n"]);

export function MatrixTable({ rows, sort, open, onSort, onOpen }: Props) {
  const messages = useMessages().performance.matrix;
  return (
    <section
      aria-label={messages.table}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
      tabIndex={0}
      className="-mx-4 overflow-x-auto px-4 sm:-mx-5 sm:px-5"
    >
      <table className="w-full border-collapse text-[13px]">
        <caption className="sr-only">{messages.title}</caption>
        <thead>
          <tr className="border-b border-line text-left text-xs text-muted">
            {SORTS.map((key) => (
              <Heading key={key} name={key} sort={sort} onSort={onSort} />
            ))}
            <th scope="col" className="px-2 py-1.5 text-right font-medium">
              {messages.columns.notes}
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => {
            const key = rowKey(row);
            return (
              <Fragment key={key}>
                <Row row={row} isOpen={open === key} onOpen={onOpen} />
                {open === key && (
                  <tr className="border-b border-line last:border-0">
                    <td colSpan={SORTS.length + 1} className="bg-canvas px-3 py-4">
                      <RowDetail row={row} />
                    </td>
                  </tr>
                )}
              </Fragment>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}

interface HeadingProps {
  name: SortKey;
  sort: Sort | null;
  onSort(sort: Sort | null): void;
}

function Heading({ name, sort, onSort }: HeadingProps) {
  const messages = useMessages().performance.matrix;
  const direction = sort?.key === name ? sort.direction : null;
  const Arrow = direction === "asc" ? ArrowUp : ArrowDown;
  const hint =
    name in messages.hints ? messages.hints[name as keyof typeof messages.hints] : undefined;
  return (
    <th
      scope="col"
      aria-sort={
        direction === "asc" ? "ascending" : direction === "desc" ? "descending" : undefined
      }
      className={cx("px-2 py-1 font-medium first:pl-0", NUMERIC.has(name) && "text-right")}
    >
      <button
        type="button"
        title={hint}
        onClick={() => onSort(nextSort(sort, name))}
        className={cx(
          "-mx-1 inline-flex h-7 items-center gap-1 rounded px-1 whitespace-nowrap hover:text-ink",
          direction && "text-ink",
        )}
      >
        {messages.columns[name]}
        {direction && <Arrow size={12} aria-hidden />}
      </button>
    </th>
  );
}

interface RowProps {
  row: MatrixRow;
  isOpen: boolean;
  onOpen(key: string | null): void;
}

const CELL = "px-2 py-2.5 align-top";
const NUMBER = `${CELL} numeric text-right whitespace-nowrap`;

const Row = memo(function Row({ row, isOpen, onOpen }: RowProps) {
  const messages = useMessages();
  const words = messages.performance.matrix;
  const Chevron = isOpen ? ChevronDown : ChevronRight;
  return (
    <tr
      className={cx(
        "border-b border-line last:border-0",
        isOpen ? "border-transparent" : "hover:bg-canvas",
      )}
    >
      <th scope="row" className="min-w-44 py-2 pr-2 text-left align-top font-normal">
        <button
          type="button"
          aria-expanded={isOpen}
          onClick={() => onOpen(isOpen ? null : rowKey(row))}
          className="flex w-full items-start gap-1 rounded-md py-0.5 text-left"
        >
          <Chevron size={14} aria-hidden className="mt-[3px] shrink-0 text-muted" />
          <NameCell row={row} />
        </button>
      </th>
      <td className={CELL}>
        <StatusCell row={row} />
      </td>
      <td className={CELL}>{row.state ? stateName(row.state, messages) : <Nothing />}</td>
      <td className={NUMBER}>
        <RealCell row={row} />
      </td>
      <td className={NUMBER}>
        <ExpectedCell row={row} />
      </td>
      <td className={NUMBER}>{row.cv == null ? <Nothing /> : percent(row.cv, 1)}</td>
      <td className={NUMBER}>
        <QualityCell row={row} />
      </td>
      <td className={NUMBER}>{row.n}</td>
      <td className={CELL}>
        <TrendCell row={row} />
      </td>
      <td className={cx(CELL, "text-right whitespace-nowrap text-muted")}>
        {row.status === "pending" ? (
          <BenchmarkLink row={row} />
        ) : row.notes.length > 0 ? (
          <button
            type="button"
            aria-expanded={isOpen}
            onClick={() => onOpen(isOpen ? null : rowKey(row))}
            className="min-h-6 rounded underline decoration-line-strong underline-offset-2 hover:text-ink"
          >
            {words.notes(row.notes.length)}
          </button>
        ) : (
          <Nothing />
        )}
      </td>
    </tr>
  );
});
