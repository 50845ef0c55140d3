// Grids to come back to: those started in this browser, and those whose jobs the service lists.
import type { Job } from "@/api/client";
import { axesOf, notedPoint } from "@/views/grid/logic/cells";
import type { KnownGrid } from "@/views/grid/store";

export function gridsIn(jobs: readonly Job[]): KnownGrid[] {
  const batches = new Map<string, Job[]>();
  for (const job of jobs) {
    if (job.batch_id === null || !notedPoint(job)) continue;
    const known = batches.get(job.batch_id);
    if (known) known.push(job);
    else batches.set(job.batch_id, [job]);
  }
  return [...batches].map(([batch_id, members]) => ({
    batch_id,
    at_ms: Math.min(...members.map((job) => job.created_unix_s)) * 1000,
    prompt: members[0]?.prompt ?? "",
    axes: axesOf(members),
    num_jobs: members.length,
  }));
}

/** Newest first; what this browser knows of a grid is more than a part of its jobs tells. */
export function recentGrids(known: readonly KnownGrid[], found: readonly KnownGrid[]): KnownGrid[] {
  const ids = new Set(known.map((grid) => grid.batch_id));
  return [...known, ...found.filter((grid) => !ids.has(grid.batch_id))].sort(
    (a, b) => b.at_ms - a.at_ms,
  );
}
