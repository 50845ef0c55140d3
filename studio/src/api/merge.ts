// How news of jobs changes what the page holds. Pure, so that it is tested without a browser.
import type { InfiniteData } from "@tanstack/react-query";
import type { Job, Schemas } from "@/api/client";
import { isOlder } from "@/api/memory";
import { type LibraryFilter, MOST_NEWEST } from "@/api/queries";

type Page = Schemas["JobPage"];
export type Pages = InfiniteData<Page, string | undefined>;

const isActive = (job: Job): boolean => job.state === "queued" || job.state === "running";

export function mergeActive(known: Job[], changed: Job[], deleted: string[]): Job[] {
  const jobs = new Map(known.map((job) => [job.id, job]));
  for (const job of changed) {
    const before = jobs.get(job.id);
    if (before && isOlder(job, before)) continue;
    if (isActive(job)) jobs.set(job.id, job);
    else jobs.delete(job.id);
  }
  for (const id of deleted) jobs.delete(id);
  return [...jobs.values()];
}

/** News of a job is brief: what only a full reading tells stays until the next one. */
export function mergeJob(known: Job, news: Job): Job {
  if (isOlder(news, known)) return known;
  const isOpen = isActive(news);
  return {
    ...news,
    attempts: known.attempts,
    expected: isOpen ? known.expected : null,
    queue_position: news.state === "queued" ? known.queue_position : null,
    starts_in: news.state === "queued" ? known.starts_in : null,
  };
}

/** Order of the queue: bands from the top, then place, as the service claims them. */
export function byPlace(a: Job, b: Job): number {
  return b.priority - a.priority || a.position - b.position || (a.id < b.id ? -1 : 1);
}

export function matches(filter: LibraryFilter, job: Job): boolean {
  return (
    (!filter.state?.length || filter.state.includes(job.state)) &&
    (!filter.kind?.length || filter.kind.includes(job.kind)) &&
    (!filter.job_type?.length || filter.job_type.includes(job.job_type)) &&
    (!filter.media_type || job.media_type === filter.media_type) &&
    (!filter.batch_id || job.batch_id === filter.batch_id) &&
    (!filter.is_favourite || job.is_favourite) &&
    (!filter.created_after || Date.parse(job.created_at) >= Date.parse(filter.created_after)) &&
    (!filter.text || job.prompt.toLowerCase().includes(filter.text.toLowerCase()))
  );
}

/** Put news into the pages of a listing, each in its place. Returns the same object if nothing changes. */
export function mergePages(
  pages: Pages,
  filter: LibraryFilter,
  changed: Job[],
  deleted: string[],
): Pages {
  const news = new Map(changed.map((job) => [job.id, job]));
  const gone = new Set(deleted);
  const seen = new Set<string>();
  let isChanged = false;
  const merged = pages.pages.map((page) => {
    const data: Job[] = [];
    for (const job of page.data) {
      const told = news.get(job.id);
      if (told) seen.add(job.id);
      const fresh = told && !isOlder(told, job) ? told : undefined;
      if (gone.has(job.id) || (fresh && !matches(filter, fresh))) isChanged = true;
      else {
        if (fresh) isChanged = true;
        data.push(fresh ?? job);
      }
    }
    return { ...page, data };
  });
  const sign = filter.is_oldest_first ? 1 : -1;
  const inOrder = (a: Job, b: Job): number => (a.id < b.id ? -sign : sign);
  for (const job of changed) {
    if (seen.has(job.id) || gone.has(job.id) || !matches(filter, job)) continue;
    // What sorts behind the last page that was read comes with the next one.
    const at = merged.findIndex(({ data, next_cursor }) => {
      const last = data.at(-1);
      return !next_cursor || (last !== undefined && inOrder(job, last) < 0);
    });
    const page = merged[at];
    if (!page) continue;
    merged[at] = { ...page, data: [...page.data, job].sort(inOrder) };
    isChanged = true;
  }
  return isChanged ? { ...pages, pages: merged } : pages;
}

/** The same for a list of the newest, which stays as short as it is. */
export function mergeNewest(
  known: Job[],
  filter: LibraryFilter,
  changed: Job[],
  deleted: string[],
): Job[] {
  const page = { data: known, next_cursor: known.length < MOST_NEWEST ? null : "older" };
  const merged = mergePages({ pages: [page], pageParams: [] }, filter, changed, deleted);
  const jobs = merged.pages[0]?.data ?? known;
  return jobs.length > MOST_NEWEST ? jobs.slice(0, MOST_NEWEST) : jobs;
}
