import { ExternalLink, Pin, X } from "lucide-react";
import { Link } from "wouter";
import { duration, title } from "@/lib/format";
import { DefectTags, madeIn, Stars } from "@/media";
import { useMessages } from "@/messages";
import { StateBadge } from "@/ui/badge";
import { IconButton } from "@/ui/button";
import { Card } from "@/ui/card";
import { cx } from "@/ui/cx";
import { Skeleton } from "@/ui/states";
import { Tip } from "@/ui/tooltip";
import type { Compared } from "@/views/compare/queries";
import { Tag } from "@/views/compare/stage/tag";

interface Props {
  all: readonly Compared[];
  onRemove(id: string): void;
  onFirst(id: string): void;
}

/** Who is who: what each result is, and what you think of it. */
export function ResultCards({ all, onRemove, onFirst }: Props) {
  return (
    <ul
      className={cx(
        "grid gap-3 sm:grid-cols-2",
        all.length !== 2 && all.length !== 4 && "xl:grid-cols-3",
      )}
    >
      {all.map((each, place) => (
        <li key={each.id}>
          <ResultCard
            compared={each}
            name={String(place + 1)}
            isFirst={place === 0}
            onRemove={() => onRemove(each.id)}
            onFirst={() => onFirst(each.id)}
          />
        </li>
      ))}
    </ul>
  );
}

interface CardProps {
  compared: Compared;
  name: string;
  isFirst: boolean;
  onRemove(): void;
  onFirst(): void;
}

function ResultCard({ compared, name, isFirst, onRemove, onFirst }: CardProps) {
  const texts = useMessages().compare;
  const { job, isGone, isLoading } = compared;
  return (
    <Card className="flex h-full flex-col gap-3 p-3.5">
      <div className="flex items-start gap-2.5">
        <Tag name={name} className="mt-0.5" />
        <div className="min-w-0 flex-1">
          {job && (
            <>
              <p className="truncate text-sm font-medium">{title(job.job_type)}</p>
              <p className="line-clamp-2 text-[13px] text-muted" title={job.prompt}>
                {job.prompt}
              </p>
            </>
          )}
          {isLoading && <Skeleton className="h-9" />}
          {isGone && <p className="py-0.5 text-sm text-muted">{texts.jobGone}</p>}
        </div>
        <div className="-mt-1 -mr-1.5 flex shrink-0">
          {!isFirst && job && (
            <IconButton
              size="sm"
              label={texts.makeFirst(name)}
              icon={<Pin size={15} />}
              onClick={onFirst}
            />
          )}
          {job && <OpenLink id={job.id} label={texts.open(name)} />}
          <IconButton
            size="sm"
            label={texts.remove(name)}
            icon={<X size={15} />}
            onClick={onRemove}
          />
        </div>
      </div>
      {job && job.assets.length === 0 && (
        <p className="flex flex-wrap items-center gap-2 text-[13px] text-muted">
          <StateBadge job={job} />
          {job.error?.message ??
            (job.state === "queued" || job.state === "running" ? texts.noFiles : texts.noFilesEver)}
        </p>
      )}
      {job && job.assets.length > 0 && (
        <div className="mt-auto flex flex-col gap-2">
          <div className="flex items-center justify-between gap-3">
            <Stars job={job} size="sm" className="-ml-1.5" />
            <span className="numeric text-[13px] text-muted">{duration(madeIn(job))}</span>
          </div>
          <DefectTags job={job} />
        </div>
      )}
    </Card>
  );
}

function OpenLink({ id, label }: { id: string; label: string }) {
  return (
    <Tip text={label}>
      <Link
        href={`/library/${id}`}
        aria-label={label}
        className="grid size-8 place-items-center rounded-md text-muted hover:bg-sunken hover:text-ink"
      >
        <ExternalLink size={15} aria-hidden />
      </Link>
    </Tip>
  );
}
