import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useReport } from "@/api/actions";
import { answer, api, type Schemas } from "@/api/client";
import { keys } from "@/api/queries";
import { useMessages } from "@/messages";
import { useToasts } from "@/ui/toast";
import type { Decision } from "@/views/performance/queries";
import { type TrendPages, withDecision } from "@/views/performance/trends/with-decision";

/** Deciding and undoing: figures that rest on it are read again at once. */
export function useDecisions() {
  const client = useQueryClient();
  const report = useReport();
  const { show } = useToasts();
  const words = useMessages().performance.decide;
  const done = (text: string, changeId: string, decision: Decision | null) => {
    show({ tone: "good", text });
    client.setQueriesData<TrendPages>({ queryKey: [...keys.performance, "trends"] }, (pages) =>
      pages ? withDecision(pages, changeId, decision) : pages,
    );
    void client.invalidateQueries({ queryKey: keys.performance });
  };
  const decide = useMutation({
    mutationFn: (body: Schemas["DecisionRequest"]) =>
      answer(api.POST("/api/v1/performance/decisions", { body })),
    onSuccess: (decision, { target }) => done(words.saved, target, decision),
    onError: report,
  });
  const undo = useMutation({
    mutationFn: ({ id, note }: { id: string; note: string; changeId: string }) =>
      answer(
        api.POST("/api/v1/performance/decisions/{decision_id}/undo", {
          params: { path: { decision_id: id } },
          body: { note },
        }),
      ),
    onSuccess: (_, { changeId }) => done(words.undone, changeId, null),
    onError: report,
  });
  return { decide, undo };
}
