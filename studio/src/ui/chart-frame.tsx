import { Download, Table2 } from "lucide-react";
import { type ReactNode, useId, useRef, useState } from "react";
import { saveBlob, saveText, svgText, toCsv } from "@/lib/export";
import { type Messages, useMessages } from "@/messages";
import { Button, IconButton } from "@/ui/button";
import { type Column, DataTable } from "@/ui/data-table";
import { Menu, type MenuItem } from "@/ui/menu";

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

/** Files of what is drawn: only what there is. A bar of boxes has its numbers, and no picture. */
function pictureItems(body: HTMLElement | null, name: string, { actions }: Messages): MenuItem[] {
  const svg = body?.querySelector<SVGElement>("svg:not(.lucide)"); // those are icons
  if (svg) {
    const save = () => saveText(`${name}.svg`, svgText(svg), "image/svg+xml");
    return [{ label: actions.exportSvg, onSelect: save }];
  }
  const canvas = body?.querySelector("canvas");
  if (!canvas) return [];
  const save = () => canvas.toBlob((blob) => blob && saveBlob(`${name}.png`, blob));
  return [{ label: actions.exportPng, onSelect: save }];
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
            items={() => [
              {
                label: messages.actions.exportCsv,
                onSelect: () => saveText(`${name}.csv`, toCsv(columns, rows), "text/csv"),
              },
              ...pictureItems(body.current, name, messages),
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
