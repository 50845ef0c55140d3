import { useCallback } from "react";
import { useSearchParams } from "wouter";

export interface MatrixState {
  isSwapped: boolean;
  hasColours: boolean;
  page: number;
  image: number;
  /** The job that is shown large. */
  open: string | null;
  set(changes: Partial<Omit<MatrixState, "set">>): void;
}

const flag = (isOn: boolean): string | null => (isOn ? "1" : null);
const place = (at: number): string | null => (at > 0 ? String(at + 1) : null);
const placeOf = (text: string | null): number =>
  Math.max(0, Math.floor(Number(text ?? 1)) - 1) || 0;

/** How the matrix is looked at: kept in the address. */
export function useMatrixState(): MatrixState {
  const [params, setParams] = useSearchParams();
  const set = useCallback(
    (changes: Partial<Omit<MatrixState, "set">>) =>
      setParams(
        (known) => {
          const next = new URLSearchParams(known);
          const put = (name: string, value: string | null) =>
            value === null ? next.delete(name) : next.set(name, value);
          if (changes.isSwapped !== undefined) put("swap", flag(changes.isSwapped));
          if (changes.hasColours !== undefined) put("colours", flag(changes.hasColours));
          if (changes.page !== undefined) put("page", place(changes.page));
          if (changes.image !== undefined) put("image", place(changes.image));
          if (changes.open !== undefined) put("open", changes.open);
          return next;
        },
        { replace: true },
      ),
    [setParams],
  );
  return {
    isSwapped: params.has("swap"),
    hasColours: params.has("colours"),
    page: placeOf(params.get("page")),
    image: placeOf(params.get("image")),
    open: params.get("open"),
    set,
  };
}
