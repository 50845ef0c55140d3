import type { Asset, Job } from "@/api/client";

/** One of the things looked at: the file, and what it is called here. */
export interface Source {
  key: string;
  /** Short: a number or a letter. */
  name: string;
  alt: string;
  asset: Asset;
}

export type Look = "side" | "overlay" | "toggle" | "difference";

/** Ways to look that make sense for these files. */
export function looksFor(sources: readonly Source[]): Look[] {
  const looks: Look[] = ["side"];
  if (sources.length < 2) return looks;
  if (sources.length === 2) looks.push("overlay");
  looks.push("toggle");
  if (sources.length === 2 && isOneSize(sources) && sources.every(isImage))
    looks.push("difference");
  return looks;
}

const isImage = ({ asset }: Source): boolean => asset.media_type.startsWith("image/");

/** Unknown sizes count as equal: the files tell when they are there. */
function isOneSize([first, second]: readonly Source[]): boolean {
  const same = (a: number | null, b: number | null) => a === null || b === null || a === b;
  return (
    first !== undefined &&
    second !== undefined &&
    same(first.asset.width, second.asset.width) &&
    same(first.asset.height, second.asset.height)
  );
}

export function sourcesOf(
  jobs: readonly Job[],
  index: number,
  nameOf: (place: number) => string,
): Source[] {
  return jobs.flatMap((job, place) => {
    const asset = job.assets[Math.min(index, job.assets.length - 1)];
    return asset ? [{ key: job.id, name: nameOf(place), alt: job.prompt, asset }] : [];
  });
}

/** Width by height: as the service says it, else as the file does once it is there. */
export function ratioOf(source: Source, measured: ReadonlyMap<string, number>): number {
  const { id, width, height } = source.asset;
  return width && height ? width / height : (measured.get(id) ?? 1);
}
