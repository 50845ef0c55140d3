import type { Job } from "@/api/client";
import { type Messages, useMessages } from "@/messages";
import { parameterName, valueName } from "@/views/grid/builder/names";
import { cellKey, type Layout } from "@/views/grid/logic/cells";
import type { Axis, Value } from "@/views/grid/logic/parameters";
import type { Point } from "@/views/grid/logic/plan";
import type { TimeScale } from "@/views/grid/logic/scale";
import { moveByArrow } from "@/views/grid/matrix/arrows";
import { Cell } from "@/views/grid/matrix/cell";

interface Props {
  layout: Layout;
  /** The page's own values, of axes beyond two. */
  point: Point;
  cells: ReadonlyMap<string, Job>;
  scale: TimeScale | null;
  image: number;
  chosen: readonly string[];
  onChoose(id: string): void;
  onOpen(id: string): void;
}

const NOTHING: readonly (Value | null)[] = [null];

const moved = (point: Point, axis: Axis | null, value: Value | null): Point =>
  axis && value !== null ? { ...point, [axis.name]: value } : point;

/** Every combination at its place. Only this region scrolls sideways. */
export function Matrix(props: Props) {
  const { layout, point, cells, scale, image, chosen, onChoose, onOpen } = props;
  const messages = useMessages();
  const { columns, rows } = layout;
  const across = columns?.values ?? NOTHING;
  const label = messages.grid.matrix(
    [rows, columns]
      .flatMap((axis) => (axis ? [parameterName(axis.name, messages)] : []))
      .join(", "),
  );
  return (
    <section
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
      tabIndex={0}
      aria-label={label}
      onKeyDown={moveByArrow}
      className="max-h-[calc(100dvh-6rem)] overflow-auto rounded-2xl border border-line bg-surface shadow-card"
    >
      <table className="w-full border-separate border-spacing-0">
        <caption className="sr-only">{label}</caption>
        <thead>
          <tr>
            {rows && (
              <td className="sticky top-0 left-0 z-30 border-r border-b border-line bg-surface px-3 py-2 text-xs text-muted">
                <Corner layout={layout} />
              </td>
            )}
            {across.map((value) => (
              <th
                key={String(value)}
                scope="col"
                className="sticky top-0 z-20 border-b border-line bg-surface px-3 py-2 text-left text-[13px] font-medium"
              >
                <Head axis={columns} value={value} isNamed={rows === null} messages={messages} />
              </th>
            ))}
            <td aria-hidden className="sticky top-0 z-10 w-full border-b border-line bg-surface" />
          </tr>
        </thead>
        <tbody>
          {(rows?.values ?? NOTHING).map((row) => (
            <tr key={String(row)}>
              {rows && (
                <th
                  scope="row"
                  className="sticky left-0 z-10 max-w-24 border-r border-line bg-surface px-3 py-3 text-left align-top text-[13px] font-medium sm:max-w-48"
                >
                  <Head axis={rows} value={row} isNamed={false} messages={messages} />
                </th>
              )}
              {across.map((column) => {
                const at = moved(moved(point, rows, row), columns, column);
                const job = cells.get(cellKey(at)) ?? null;
                return (
                  <td key={String(column)} className="p-1.5 align-top sm:p-2">
                    <Cell
                      job={job}
                      name={nameOf(at, messages)}
                      scale={scale}
                      image={image}
                      isChosen={job !== null && chosen.includes(job.id)}
                      onChoose={onChoose}
                      onOpen={onOpen}
                    />
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

export function nameOf(point: Point, messages: Messages): string {
  return Object.entries(point)
    .map(([name, value]) => `${parameterName(name, messages)} ${valueName(name, value)}`)
    .join(", ");
}

function Corner({ layout: { rows, columns } }: { layout: Layout }) {
  const messages = useMessages();
  if (!rows || !columns) return null;
  return (
    <span className="flex flex-col leading-snug whitespace-nowrap">
      <span>{messages.grid.downwards(parameterName(rows.name, messages))}</span>
      <span>{messages.grid.across(parameterName(columns.name, messages))}</span>
    </span>
  );
}

interface HeadProps {
  axis: Axis | null;
  value: Value | null;
  isNamed: boolean;
  messages: Messages;
}

function Head({ axis, value, isNamed, messages }: HeadProps) {
  if (!axis || value === null) return null;
  return (
    <span className="numeric line-clamp-3" title={String(value)}>
      {isNamed && (
        <span className="mr-1.5 font-normal text-muted">{parameterName(axis.name, messages)}</span>
      )}
      {valueName(axis.name, value)}
    </span>
  );
}
