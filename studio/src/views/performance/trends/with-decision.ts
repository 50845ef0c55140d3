// Pure, tested in with-decision.test.ts.
import type { InfiniteData } from "@tanstack/react-query";
import type { Schemas } from "@/api/client";
import type { Decision } from "@/views/performance/queries";

export type TrendPages = InfiniteData<Schemas["TrendPage"], string | undefined>;

/** Histories in which a change has this decision: shown at once, before all is computed anew. */
export function withDecision(
  pages: TrendPages,
  changeId: string,
  decision: Decision | null,
): TrendPages {
  return {
    ...pages,
    pages: pages.pages.map((page) => ({
      ...page,
      data: page.data.map((series) =>
        series.changes.some((change) => change.id === changeId)
          ? {
              ...series,
              changes: series.changes.map((change) =>
                change.id === changeId ? { ...change, decision } : change,
              ),
            }
          : series,
      ),
    })),
  };
}
