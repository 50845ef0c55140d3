import { useCallback, useMemo } from "react";
import { useSearchParams } from "wouter";
import {
  type MatrixFilter,
  readSort,
  type Sort,
  writeSort,
} from "@/views/performance/matrix/sorting";

export interface MatrixView {
  filter: MatrixFilter;
  sort: Sort | null;
  open: string | null;
  history: string | null;
  set(
    change: Partial<Record<"job_type" | "state" | "status" | "open" | "history", string | null>>,
  ): void;
  setSort(sort: Sort | null): void;
}

/** How the matrix is looked at, kept in the address. */
export function useMatrixView(): MatrixView {
  const [params, setParams] = useSearchParams();
  const set = useCallback<MatrixView["set"]>(
    (change) =>
      setParams(
        (before) => {
          const next = new URLSearchParams(before);
          for (const [name, value] of Object.entries(change))
            if (value) next.set(name, value);
            else next.delete(name);
          return next;
        },
        { replace: true },
      ),
    [setParams],
  );
  const setSort = useCallback(
    (sort: Sort | null) =>
      setParams(
        (before) => {
          const next = new URLSearchParams(before);
          const text = writeSort(sort);
          if (text) next.set("sort", text);
          else next.delete("sort");
          return next;
        },
        { replace: true },
      ),
    [setParams],
  );
  return useMemo(
    () => ({
      filter: {
        job_type: params.get("job_type") ?? undefined,
        state: params.get("state") ?? undefined,
        status: params.get("status") ?? undefined,
      },
      sort: readSort(params.get("sort")),
      open: params.get("open"),
      history: params.get("history"),
      set,
      setSort,
    }),
    [params, set, setSort],
  );
}
