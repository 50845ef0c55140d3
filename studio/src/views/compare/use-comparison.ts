import { useCallback } from "react";
import { useSearchParams } from "wouter";
import { MOST_COMPARED, useComparison } from "@/stores/comparison";
import type { Look } from "@/views/compare/stage/source";

const LOOKS: readonly Look[] = ["side", "overlay", "toggle", "difference"];

export interface ComparisonState {
  ids: string[];
  setIds(ids: string[]): void;
  look: Look;
  setLook(look: Look): void;
  index: number;
  setIndex(index: number): void;
  hasAllSettings: boolean;
  setAllSettings(isOn: boolean): void;
  /** null: the results; "": the next blind test; else the one of this id. */
  blind: string | null;
  setBlind(id: string | null): void;
}

export function idsOf(text: string | null): string[] {
  const ids = (text ?? "").split(",").filter(Boolean);
  return [...new Set(ids)].slice(0, MOST_COMPARED);
}

/** What is compared and how: in the address, so that it can be kept and sent; else what was put aside. */
export function useComparisonState(): ComparisonState {
  const [params, setParams] = useSearchParams();
  const aside = useComparison();
  const put = useCallback(
    (changes: Record<string, string | null>) =>
      setParams(
        (known) => {
          const next = new URLSearchParams(known);
          for (const [name, value] of Object.entries(changes)) {
            if (value === null) next.delete(name);
            else next.set(name, value);
          }
          return next;
        },
        { replace: true },
      ),
    [setParams],
  );
  const setBlind = useCallback((id: string | null) => put({ blind: id }), [put]);
  const ids = params.has("jobs") ? idsOf(params.get("jobs")) : aside.ids;
  const look = LOOKS.find((each) => each === params.get("look")) ?? "side";
  return {
    ids,
    setIds: (next) => {
      aside.set(next);
      put({ jobs: next.length > 0 ? next.join(",") : null });
    },
    look,
    setLook: (next) => put({ look: next === "side" ? null : next }),
    index: Math.max(0, Number(params.get("image") ?? 1) - 1) || 0,
    setIndex: (index) => put({ image: index === 0 ? null : String(index + 1) }),
    hasAllSettings: params.get("settings") === "all",
    setAllSettings: (isOn) => put({ settings: isOn ? "all" : null }),
    blind: params.get("blind"),
    setBlind,
  };
}
