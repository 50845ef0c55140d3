import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { useReport } from "@/api/actions";
import { answer, api, type Schemas } from "@/api/client";
import { keys } from "@/api/queries";

export type Goal = Schemas["GoalAnswer"];
export type GoalRequest = Schemas["GoalRequest"];

const GOALS = [...keys.performance, "goals"] as const;

export const goalsQuery = queryOptions({
  queryKey: GOALS,
  queryFn: ({ signal }) => answer(api.GET("/api/v1/performance/goals", { signal })),
  staleTime: 30_000,
});

/** Errors stay with the form: they are about its fields. */
export function useAddGoal() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: GoalRequest) => answer(api.POST("/api/v1/performance/goals", { body })),
    onSuccess: () => client.invalidateQueries({ queryKey: GOALS }),
  });
}

export function useRemoveGoal() {
  const client = useQueryClient();
  const report = useReport();
  return useMutation({
    mutationFn: (goal_id: string) =>
      answer(api.DELETE("/api/v1/performance/goals/{goal_id}", { params: { path: { goal_id } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: GOALS }),
    onError: report,
  });
}
