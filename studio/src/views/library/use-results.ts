import { useInfiniteQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import type { Job } from "@/api/client";
import { libraryQuery } from "@/api/queries";
import { useHidden } from "@/views/library/deletion";
import { type Filters, libraryFilter } from "@/views/library/filters";

/** The results of all pages read so far, without those that are about to be deleted. */
export function useResults(filters: Filters) {
  const query = useInfiniteQuery({
    ...libraryQuery(libraryFilter(filters)),
    placeholderData: (before) => before, // what is shown stays until the answer comes
  });
  const { ids: hidden } = useHidden();
  const { data } = query;
  const jobs = useMemo<Job[]>(() => {
    const all = data?.pages.flatMap((page) => page.data) ?? [];
    return hidden.size === 0 ? all : all.filter((job) => !hidden.has(job.id));
  }, [data, hidden]);
  return { ...query, jobs };
}
