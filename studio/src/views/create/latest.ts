// Which jobs stand under the form, and what each of them is doing.
import type { Job } from "@/api/client";

export const MOST_SHOWN = 12;

/** What was submitted here first, then the others; newest first in both, what can be seen only. */
export function latestOf(jobs: readonly Job[], submitted: readonly string[]): Job[] {
  const mine = new Set(submitted);
  const isShown = (job: Job): boolean =>
    job.kind === "generate" && (job.state !== "cancelled" || mine.has(job.id));
  const isNow = (job: Job): boolean => job.state === "queued" || job.state === "running";
  const rank = (job: Job): number => (mine.has(job.id) && isNow(job) ? 0 : 1);
  const unique = new Map(jobs.map((job) => [job.id, job]));
  return [...unique.values()]
    .filter(isShown)
    .sort(
      (a, b) => rank(a) - rank(b) || b.created_unix_s - a.created_unix_s || (a.id < b.id ? 1 : -1),
    )
    .slice(0, MOST_SHOWN);
}

/** Whether a tile would show the same: addresses of files are signed anew with every reading. */
export function isSameTile(before: Job, after: Job): boolean {
  if (before === after) return true;
  const isOver = before.state !== "queued" && before.state !== "running";
  const expires = before.assets[0]?.url_expires_at;
  const isFresh = expires === undefined || Date.parse(expires) > Date.now() + 60_000;
  return (
    isOver &&
    isFresh &&
    before.id === after.id &&
    before.state === after.state &&
    before.assets.length === after.assets.length &&
    before.rating?.stars === after.rating?.stars &&
    before.rating?.tags.join() === after.rating?.tags.join()
  );
}
