import type { en } from "@/views/performance/messages";

export const ROOT = "/performance";

/** The parts of the dashboard, in the order of the navigation. */
export const SECTIONS = [
  { path: ROOT, name: "overview" },
  { path: `${ROOT}/trends`, name: "trends" },
  { path: `${ROOT}/queue`, name: "queue" },
  { path: `${ROOT}/gpus`, name: "gpus" },
  { path: `${ROOT}/fleet`, name: "fleet" },
  { path: `${ROOT}/quality`, name: "quality" },
  { path: `${ROOT}/goals`, name: "goals" },
  { path: `${ROOT}/protocol`, name: "protocol" },
] as const satisfies readonly { path: string; name: keyof typeof en.sections }[];

/** The address of a history, and of a change in it. */
export function trendPath(wanted: {
  job_type: string;
  preset?: string | null;
  state?: string | null;
  measure?: string;
  change?: string | null;
}): string {
  const query = new URLSearchParams({ job_type: wanted.job_type });
  if (wanted.preset) query.set("preset", wanted.preset);
  if (wanted.state) query.set("state", wanted.state);
  if (wanted.measure && wanted.measure !== "total") query.set("measure", wanted.measure);
  if (wanted.change) query.set("change", wanted.change);
  return `${ROOT}/trends?${query}`;
}

export const ledgerPath = (jobId: string): string => `${ROOT}/jobs/${jobId}`;
