import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { workersQuery } from "@/api/queries";
import type { Period } from "../throughput/waits";
import { fleetKey, fleetQuery } from "./queries";
import { membersOf } from "./rows";

/** The fleet and its workers, read again when a worker comes or goes. */
export function useFleet(period: Period) {
  const client = useQueryClient();
  const fleet = useQuery({ ...fleetQuery(period), placeholderData: keepPreviousData });
  const { data: workers } = useQuery(workersQuery);
  const members = workers && membersOf(workers.data);
  const known = useRef(members);
  useEffect(() => {
    if (known.current !== undefined && known.current !== members)
      void client.invalidateQueries({ queryKey: fleetKey });
    known.current = members;
  }, [client, members]);
  return { fleet, workers: workers?.data };
}
