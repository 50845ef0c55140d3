import { useQuery } from "@tanstack/react-query";
import { useCallback, useMemo, useState } from "react";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { Section } from "@/ui/card";
import { Empty, ErrorState, Skeleton } from "@/ui/states";
import { MatrixCards } from "@/views/performance/matrix/cards";
import { MatrixExport } from "@/views/performance/matrix/export";
import { MatrixFilters } from "@/views/performance/matrix/filters";
import { History } from "@/views/performance/matrix/history";
import { chosenRows, sortedRows } from "@/views/performance/matrix/sorting";
import { MatrixTable } from "@/views/performance/matrix/table";
import { type MatrixView, useMatrixView } from "@/views/performance/matrix/use-matrix-view";
import { type MatrixRow, matrixQuery } from "@/views/performance/queries";
import { useMedia } from "@/views/performance/use-media";

const FIRST_ROWS = 60;

/** Every job type beside what it takes, what was expected, and how sure that is. */
export function Matrix() {
  const messages = useMessages().performance.matrix;
  const view = useMatrixView();
  const { data, error, refetch } = useQuery(matrixQuery);
  const rows = useMemo(
    () => (data ? sortedRows(chosenRows(data.rows, view.filter), view.sort) : []),
    [data, view.filter, view.sort],
  );
  return (
    <Section
      id="matrix"
      title={messages.title}
      text={data && messages.text(data.num_established, data.num_job_types)}
      actions={data && <MatrixExport rows={rows} />}
    >
      {error && !data && <ErrorState error={error} onRetry={refetch} />}
      {!data && !error && <Skeleton className="h-72" />}
      {data && (
        <>
          <MatrixFilters rows={data.rows} view={view} />
          <Rows rows={rows} view={view} />
          {view.history && (
            <div className="mt-5">
              <History name={view.history} />
            </div>
          )}
        </>
      )}
    </Section>
  );
}

function Rows({ rows, view }: { rows: readonly MatrixRow[]; view: MatrixView }) {
  const messages = useMessages().performance.matrix;
  const isWide = useMedia("(min-width: 48rem)");
  const [isAll, setIsAll] = useState(false);
  const { set } = view;
  const onOpen = useCallback((open: string | null) => set({ open }), [set]);
  if (rows.length === 0)
    return (
      <Empty
        title={messages.empty}
        text={messages.emptyText}
        action={
          <Button size="sm" onClick={() => set({ job_type: null, state: null, status: null })}>
            {messages.clear}
          </Button>
        }
      />
    );
  const shown = isAll ? rows : rows.slice(0, FIRST_ROWS);
  return (
    <>
      {isWide ? (
        <MatrixTable
          rows={shown}
          sort={view.sort}
          open={view.open}
          onSort={view.setSort}
          onOpen={onOpen}
        />
      ) : (
        <MatrixCards rows={shown} open={view.open} onOpen={onOpen} />
      )}
      {shown.length < rows.length && (
        <Button size="sm" className="mt-3" onClick={() => setIsAll(true)}>
          {messages.showAll(rows.length)}
        </Button>
      )}
    </>
  );
}
