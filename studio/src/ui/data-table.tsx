import type { ReactNode } from "react";
import { cx } from "@/ui/cx";

export interface Column<Row> {
  key: string;
  name: string;
  /** The plain value: for exports, and shown unless `cell` says otherwise. */
  value(row: Row): string | number | null;
  cell?(row: Row): ReactNode;
  isNumeric?: boolean;
}

interface Props<Row> {
  caption: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  rowKey(row: Row, index: number): string;
  isCaptionShown?: boolean;
}

export function DataTable<Row>({ caption, columns, rows, rowKey, isCaptionShown }: Props<Row>) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <section className="overflow-x-auto" tabIndex={0} aria-label={caption}>
      <table className="w-full border-collapse text-[13px]">
        <caption className={isCaptionShown ? "pb-2 text-left font-medium" : "sr-only"}>
          {caption}
        </caption>
        <thead>
          <tr className="border-b border-line text-left text-xs text-muted">
            {columns.map((column) => (
              <th
                key={column.key}
                scope="col"
                className={cx(
                  "px-2 py-1.5 font-medium whitespace-nowrap first:pl-0",
                  column.isNumeric && "text-right",
                )}
              >
                {column.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, index) => (
            <tr key={rowKey(row, index)} className="border-b border-line last:border-0">
              {columns.map((column) => (
                <td
                  key={column.key}
                  className={cx(
                    "px-2 py-1.5 align-top first:pl-0",
                    column.isNumeric && "numeric text-right whitespace-nowrap",
                  )}
                >
                  {column.cell ? column.cell(row) : (column.value(row) ?? "–")}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
