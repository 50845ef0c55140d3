import { ChevronLeft, ChevronRight } from "lucide-react";
import { Link } from "wouter";
import { useRetry } from "@/api/actions";
import type { Job } from "@/api/client";
import { useShortcut } from "@/lib/shortcuts";
import { AssetView, DefectTags, JobFacts, Stars } from "@/media";
import { useMessages } from "@/messages";
import { Button, IconButton } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { PhaseBar } from "@/ui/phase-bar";
import { valueOn } from "@/views/grid/logic/cells";
import type { Axis } from "@/views/grid/logic/parameters";
import type { Point } from "@/views/grid/logic/plan";
import { nameOf } from "@/views/grid/matrix/matrix";

interface Props {
  jobs: readonly Job[];
  axes: readonly Axis[];
  openId: string | null;
  image: number;
  onOpen(id: string | null): void;
}

/** One cell, large, with its neighbours a key away. */
export function Large({ jobs, axes, openId, image, onOpen }: Props) {
  const messages = useMessages();
  const texts = messages.grid;
  const shown = jobs.filter((job) => job.assets.length > 0 || job.id === openId);
  const place = shown.findIndex((job) => job.id === openId);
  const job = shown[place];
  const go = (by: number) => {
    const next = shown[(place + by + shown.length) % shown.length];
    if (next) onOpen(next.id);
  };
  const isOpen = job !== undefined;
  useShortcut({ keys: "arrowleft", label: texts.previous, scope: "here" }, () => go(-1), isOpen);
  useShortcut({ keys: "arrowright", label: texts.next, scope: "here" }, () => go(1), isOpen);
  return (
    <Dialog
      isOpen={isOpen}
      onClose={() => onOpen(null)}
      size="full"
      title={job ? nameOf(pointOf(job, axes), messages) : texts.title}
    >
      {job && (
        <div className="grid gap-6 pt-1 lg:grid-cols-[minmax(0,1fr)_20rem]">
          <div className="flex min-w-0 flex-col gap-3">
            <File job={job} image={image} />
            {shown.length > 1 && (
              <div className="flex justify-center gap-2">
                <IconButton
                  label={texts.previous}
                  icon={<ChevronLeft size={18} />}
                  onClick={() => go(-1)}
                />
                <IconButton
                  label={texts.next}
                  icon={<ChevronRight size={18} />}
                  onClick={() => go(1)}
                />
              </div>
            )}
          </div>
          <Side job={job} />
        </div>
      )}
    </Dialog>
  );
}

function pointOf(job: Job, axes: readonly Axis[]): Point {
  return Object.fromEntries(
    axes.flatMap(({ name }) => {
      const value = valueOn(job, name);
      return value === null ? [] : [[name, value]];
    }),
  );
}

function File({ job, image }: { job: Job; image: number }) {
  const texts = useMessages().grid;
  const retry = useRetry();
  const asset = job.assets[Math.min(image, job.assets.length - 1)];
  if (asset)
    return (
      <AssetView
        key={asset.id}
        asset={asset}
        job={job}
        autoplay
        muted
        loop
        className="h-[min(68dvh,44rem)] w-full rounded-xl bg-sunken"
      />
    );
  return (
    <div className="flex flex-col items-start gap-3 rounded-xl bg-bad-soft p-4 text-sm">
      <p className="font-medium">{job.error?.message ?? texts.failed}</p>
      {job.error?.hint && <p className="text-muted">{job.error.hint}</p>}
      <Button onClick={() => retry.mutate({ job })}>{texts.retry}</Button>
    </div>
  );
}

function Side({ job }: { job: Job }) {
  const texts = useMessages().grid;
  return (
    <div className="flex min-w-0 flex-col gap-5">
      {job.assets.length > 0 && (
        <div className="flex flex-col gap-2">
          <Stars job={job} className="-ml-1" />
          <DefectTags job={job} />
        </div>
      )}
      {job.ledger && <PhaseBar phases_s={job.ledger.phases_s} hasLegend />}
      <JobFacts job={job} />
      <Link
        href={`/library/${job.id}`}
        className="text-sm font-medium text-accent-ink underline-offset-4 hover:underline"
      >
        {texts.inLibrary}
      </Link>
    </div>
  );
}
