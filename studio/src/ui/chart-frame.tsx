import { Download, Table2 } from "lucide-react";
import { type ReactNode, useId, useRef, useState } from "react";
import { saveText, svgText, toCsv } from "@/lib/export";
import { useMessages } from "@/messages";
import { Button, IconButton } from "@/ui/button";
import { type Column, DataTable } from "@/ui/data-table";
import { Menu } from "@/ui/menu";

interface Props<Row> {
  /** Also the name of exported files. */
  title: string;
  /** What is to be seen, in a sentence: for those who don't see the chart. */
  summary: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  rowKey(row: Row, index: number): string;
  children: ReactNode;
  isTitleHidden?: boolean;
}

/** Every chart stands in one: the same numbers as a table, and as files. */
export function ChartFrame<Row>(props: Props<Row>) {
  const { title, summary, columns, rows, rowKey, children, isTitleHidden } = props;
  const [isTable, setIsTable] = useState(false);
  const body = useRef<HTMLDivElement>(null);
  const messages = useMessages();
  const id = useId();
  const name = title.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");
  return (
    <figure aria-labelledby={id} className="min-w-0">
      <figcaption className="mb-2 flex items-center justify-between gap-2">
        <span id={id} className={isTitleHidden ? "sr-only" : "text-[13px] font-medium"}>
          {title}
        </span>
        <span className="ml-auto flex gap-0.5">
          <IconButton
            size="sm"
            aria-pressed={isTable}
            label={isTable ? messages.actions.showChart : messages.actions.showTable}
            icon={<Table2 size={15} />}
            onClick={() => setIsTable(!isTable)}
          />
          <Menu
            trigger={
              <Button
                size="sm"
                variant="ghost"
                aria-label={`${messages.actions.download}: ${title}`}
                className="w-8 px-0!"
                icon={<Download size={15} />}
              />
            }
            items={[
              {
                label: messages.actions.exportCsv,
                onSelect: () => saveText(`${name}.csv`, toCsv(columns, rows), "text/csv"),
              },
              {
                label: messages.actions.exportSvg,
                isDisabled: isTable,
                onSelect: () => {
                  const svg = body.current?.querySelector("svg");
                  if (svg) saveText(`${name}.svg`, svgText(svg), "image/svg+xml");
                },
              },
            ]}
          />
        </span>
      </figcaption>
      <p className="sr-only">{summary}</p>
      {isTable ? (
        <DataTable caption={title} columns={columns} rows={rows} rowKey={rowKey} />
      ) : (
        <div ref={body}>{children}</div>
      )}
    </figure>
  );
}
