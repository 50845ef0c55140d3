import { useQuery } from "@tanstack/react-query";
import { queueQuery } from "@/api/queries";

export function useActiveCounts(): { running: number; waiting: number } {
  const { data } = useQuery({
    ...queueQuery,
    select: (queue) => ({
      running: queue.by_state.running ?? 0,
      waiting: queue.by_state.queued ?? 0,
    }),
  });
  return data ?? { running: 0, waiting: 0 };
}
