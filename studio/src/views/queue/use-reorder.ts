import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useRef } from "react";
import { useMove } from "@/api/actions";
import type { Job } from "@/api/client";
import { applyJobs } from "@/api/live";
import { keys } from "@/api/queries";
import { placement } from "@/views/queue/reorder";

/** Move a job to a place in the list: seen at once, taken back if the service refuses. */
export function useReorder(order: readonly Job[]): (id: string, index: number) => boolean {
  const client = useQueryClient();
  const { mutateAsync } = useMove();
  const latest = useRef(order);
  latest.current = order;
  return useCallback(
    (id, index) => {
      const job = latest.current.find((each) => each.id === id);
      const place = placement(latest.current, id, index);
      if (!job || !place) return false;
      const { to, ...guess } = place;
      applyJobs(client, { data: [{ ...job, ...guess }], deleted: [] });
      mutateAsync({ job, to }).catch(() => client.invalidateQueries({ queryKey: keys.active }));
      return true;
    },
    [client, mutateAsync],
  );
}
