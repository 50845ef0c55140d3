// What was told of jobs, so that an answer that was asked for before can't put older states back.
import type { QueryClient, QueryKey } from "@tanstack/react-query";
import type { Job } from "@/api/client";

export interface JobsNews {
  data: Job[];
  deleted: string[];
}

type Version = Pick<Job, "event_seq" | "changed_unix_s">;

/** Whether `one` is an older state of the same job than `other`. */
export function isOlder(one: Version, other: Version): boolean {
  if (one.event_seq !== other.event_seq) return one.event_seq < other.event_seq;
  return one.changed_unix_s < other.changed_unix_s; // a mark, say, which is no event
}

const MOST_VERSIONS = 5000;
const MOST_TOLD = 2000;

/** Of one page. Numbers grow with everything that is told. */
export class Memory {
  private number = 0;
  /** What was asked for before this number is to be read again. */
  private floor = 0;
  private readonly versions = new Map<string, Version | null>(); // null: deleted
  private readonly told = new Map<string, { number: number; job: Job | null }>();
  private readonly values = new Map<string, { number: number; value: unknown }>();

  /** To hand to `since` later. */
  now(): number {
    return this.number;
  }

  /** Whatever is known from before is not to be relied on. */
  startOver(): void {
    this.number += 1;
    this.floor = this.number;
    this.versions.clear();
    this.told.clear();
    this.values.clear();
  }

  /** Note what is told; returns what of it is news. */
  take({ data, deleted }: JobsNews, isAsking: boolean): JobsNews {
    this.number += 1;
    if (!isAsking) this.told.clear(); // nobody will want it
    for (const id of deleted) this.note(id, null);
    const news = data.filter((job) => {
      const known = this.versions.get(job.id);
      return known === undefined || (known !== null && !isOlder(job, known));
    });
    for (const job of news) this.note(job.id, job);
    return { data: news, deleted };
  }

  /** Note the whole of a small thing that the stream tells. */
  takeValue(key: QueryKey, value: unknown): void {
    this.number += 1;
    this.values.set(JSON.stringify(key), { number: this.number, value });
  }

  /** What was told of jobs after `number`; null: that is not known, read again. */
  since(number: number): JobsNews | null {
    if (number < this.floor) return null;
    const news: JobsNews = { data: [], deleted: [] };
    for (const [id, each] of this.told) {
      if (each.number <= number) continue;
      if (each.job) news.data.push(each.job);
      else news.deleted.push(id);
    }
    return news;
  }

  valueSince(key: QueryKey, number: number): unknown {
    const known = this.values.get(JSON.stringify(key));
    return known && known.number > number ? known.value : undefined;
  }

  private note(id: string, job: Job | null): void {
    this.versions.delete(id); // the newest last
    this.versions.set(id, job && versionOf(job));
    for (const oldest of this.versions.keys()) {
      if (this.versions.size <= MOST_VERSIONS) break;
      this.versions.delete(oldest);
    }
    this.told.set(id, { number: this.number, job });
    if (this.told.size <= MOST_TOLD) return;
    this.told.clear();
    this.floor = this.number;
  }
}

const versionOf = ({ event_seq, changed_unix_s }: Job): Version => ({ event_seq, changed_unix_s });

const memories = new WeakMap<QueryClient, Memory>();

export function memoryOf(client: QueryClient): Memory {
  const known = memories.get(client);
  if (known) return known;
  const memory = new Memory();
  memories.set(client, memory);
  return memory;
}
