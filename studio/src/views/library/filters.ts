// What the library shows, as it stands in the address: shared, kept over reloads, undone by "back".
import type { Job } from "@/api/client";
import type { LibraryFilter } from "@/api/queries";

export const MEDIA = ["all", "video", "image"] as const;
export const STATES = ["done", "all", "failed", "cancelled"] as const;
export const SINCE = ["ever", "day", "week", "month"] as const;
export const SORTS = ["new", "old"] as const;

export interface Filters {
  text: string;
  media: (typeof MEDIA)[number];
  /** "": every one. */
  type: string;
  state: (typeof STATES)[number];
  since: (typeof SINCE)[number];
  sort: (typeof SORTS)[number];
  isFavourite: boolean;
}

export const NO_FILTERS: Filters = {
  text: "",
  media: "all",
  type: "",
  state: "done",
  since: "ever",
  sort: "new",
  isFavourite: false,
};

function oneOf<T extends string>(value: string | null, choices: readonly T[], usual: T): T {
  return choices.find((choice) => choice === value) ?? usual;
}

export function readFilters(params: URLSearchParams): Filters {
  return {
    text: params.get("q") ?? "",
    media: oneOf(params.get("media"), MEDIA, NO_FILTERS.media),
    type: params.get("type") ?? "",
    state: oneOf(params.get("state"), STATES, NO_FILTERS.state),
    since: oneOf(params.get("since"), SINCE, NO_FILTERS.since),
    sort: oneOf(params.get("sort"), SORTS, NO_FILTERS.sort),
    isFavourite: params.get("favourites") === "1",
  };
}

/** Only what differs from the usual stands in the address. Other parameters stay. */
export function writeFilters(before: URLSearchParams, filters: Filters): URLSearchParams {
  const params = new URLSearchParams(before);
  const put = (name: string, value: string, usual: string) => {
    if (value === usual) params.delete(name);
    else params.set(name, value);
  };
  put("q", filters.text, "");
  put("media", filters.media, NO_FILTERS.media);
  put("type", filters.type, "");
  put("state", filters.state, NO_FILTERS.state);
  put("since", filters.since, NO_FILTERS.since);
  put("sort", filters.sort, NO_FILTERS.sort);
  put("favourites", filters.isFavourite ? "1" : "", "");
  return params;
}

export function isNarrowed(filters: Filters): boolean {
  const { sort: _, ...rest } = filters;
  const { sort: __, ...usual } = NO_FILTERS;
  return JSON.stringify(rest) !== JSON.stringify(usual);
}

const ENDED: Record<Filters["state"], Job["state"][]> = {
  done: ["succeeded"],
  all: ["succeeded", "failed", "cancelled"],
  failed: ["failed"],
  cancelled: ["cancelled"],
};
const MEDIA_TYPES = { video: "video/mp4", image: "image/png" };
const DAYS = { day: 0, week: 6, month: 29 };

/** The question that the service is asked. Dates begin at midnight, so that a day asks the same. */
export function libraryFilter(filters: Filters, now: Date = new Date()): LibraryFilter {
  const { text, media, type, state, since, sort, isFavourite } = filters;
  return {
    kind: ["generate"],
    state: ENDED[state],
    ...(text.trim() ? { text: text.trim() } : {}),
    ...(media === "all" ? {} : { media_type: MEDIA_TYPES[media] }),
    ...(type ? { job_type: [type] } : {}),
    ...(isFavourite ? { is_favourite: true } : {}),
    ...(since === "ever" ? {} : { created_after: midnight(now, DAYS[since]).toISOString() }),
    ...(sort === "old" ? { is_oldest_first: true } : {}),
  };
}

function midnight(now: Date, daysAgo: number): Date {
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() - daysAgo);
}
