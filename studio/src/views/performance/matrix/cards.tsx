import { ChevronDown, ChevronRight } from "lucide-react";
import { memo } from "react";
import { percent } from "@/lib/format";
import { useMessages } from "@/messages";
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
import { rowKey } from "@/views/performance/matrix/sorting";
import type { MatrixRow } from "@/views/performance/queries";
import { stateName, workloadName } from "@/views/performance/words";

interface Props {
  rows: readonly MatrixRow[];
  open: string | null;
  onOpen(key: string | null): void;
}

/** The matrix on phones: one card a row. */
export function MatrixCards({ rows, open, onOpen }: Props) {
  return (
    <ul className="flex flex-col gap-2.5">
      {rows.map((row) => (
        <li key={rowKey(row)}>
          <RowCard row={row} isOpen={open === rowKey(row)} onOpen={onOpen} />
        </li>
      ))}
    </ul>
  );
}

interface CardProps {
  row: MatrixRow;
  isOpen: boolean;
  onOpen(key: string | null): void;
}

const RowCard = memo(function RowCard({ row, isOpen, onOpen }: CardProps) {
  const messages = useMessages();
  const words = messages.performance.matrix;
  const Chevron = isOpen ? ChevronDown : ChevronRight;
  const name = workloadName(row.job_type, row.preset);
  return (
    <article aria-label={name} className="rounded-xl border border-line p-3 text-[13px]">
      <div className="flex items-start justify-between gap-2">
        <button
          type="button"
          aria-expanded={isOpen}
          onClick={() => onOpen(isOpen ? null : rowKey(row))}
          className="flex min-w-0 items-start gap-1 rounded-md py-0.5 text-left"
        >
          <Chevron size={14} aria-hidden className="mt-[3px] shrink-0 text-muted" />
          <NameCell row={row} />
        </button>
        <StatusCell row={row} />
      </div>
      {row.status === "pending" ? (
        <div className="mt-2.5 flex justify-end">
          <BenchmarkLink row={row} />
        </div>
      ) : (
        <dl className="numeric mt-3 grid grid-cols-[1fr_1fr_auto] gap-x-3 gap-y-2.5">
          <Fact name={words.columns.real}>
            <RealCell row={row} />
          </Fact>
          <Fact name={words.columns.state}>
            {row.state ? stateName(row.state, messages) : <Nothing />}
          </Fact>
          <Fact name={words.columns.trend}>
            <TrendCell row={row} />
          </Fact>
          <Fact name={words.columns.n}>{row.n}</Fact>
          <Fact name={words.columns.cv}>{row.cv == null ? <Nothing /> : percent(row.cv, 1)}</Fact>
          <Fact name={words.columns.quality}>
            <QualityCell row={row} />
          </Fact>
          {row.expected_s != null && (
            <Fact name={words.columns.expected} className="col-span-3 [&_dd>span]:w-fit">
              <ExpectedCell row={row} />
            </Fact>
          )}
        </dl>
      )}
      {isOpen && (
        <div className="mt-3 border-t border-line pt-3">
          <RowDetail row={row} />
        </div>
      )}
    </article>
  );
});

function Fact({
  name,
  className,
  children,
}: {
  name: string;
  className?: string;
  children: React.ReactNode;
}) {
  return (
    <div className={className}>
      <dt className="text-xs text-muted">{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
