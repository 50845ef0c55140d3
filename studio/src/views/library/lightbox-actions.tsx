import {
  ChartNoAxesCombined,
  Columns2,
  Download,
  Link2,
  type LucideIcon,
  RotateCcw,
  Trash2,
} from "lucide-react";
import { useEffect, useState } from "react";
import { useLocation } from "wouter";
import { useReport, useRetry, useSubmit } from "@/api/actions";
import type { Asset, Job } from "@/api/client";
import { copyText } from "@/lib/clipboard";
import { FavouriteButton } from "@/media/favourite";
import { useMessages } from "@/messages";
import { compareUrl, useComparison } from "@/stores/comparison";
import { draftOf, requestOf } from "@/stores/draft";
import { Button } from "@/ui/button";
import { useArchive, useDownload } from "@/views/library/archive";
import { useReuse, useTaken } from "@/views/library/reuse";

const SAID_MS = 4000;

interface Props {
  job: Job;
  asset: Asset | undefined;
  onDelete(): void;
}

export function Actions({ job, asset, onDelete }: Props) {
  const [said, say] = useSaid();
  return (
    <section className="flex flex-col gap-2.5">
      <ReuseActions job={job} />
      <AgainActions job={job} onSaid={say} />
      <FileActions job={job} asset={asset} onDelete={onDelete} onSaid={say} />
      <p role="status" className="text-xs text-muted empty:-mt-2.5">
        {said}
      </p>
    </section>
  );
}

/** A line that is said beside the buttons, and goes by itself. */
function useSaid(): [string, (text: string) => void] {
  const [said, setSaid] = useState("");
  useEffect(() => {
    if (!said) return;
    const timer = setTimeout(() => setSaid(""), SAID_MS);
    return () => clearTimeout(timer);
  }, [said]);
  return [said, setSaid];
}

function ReuseActions({ job }: { job: Job }) {
  const texts = useMessages().library;
  const reuse = useReuse(job);
  return (
    <fieldset className="flex flex-wrap items-center gap-1.5">
      <legend className="mb-1.5 text-xs font-medium text-muted">{texts.reuse}</legend>
      <Button size="sm" variant="primary" onClick={() => reuse("all")}>
        {texts.reuseAll}
      </Button>
      <Button size="sm" onClick={() => reuse("prompt")}>
        {texts.reusePrompt}
      </Button>
      <Button size="sm" onClick={() => reuse("seed")}>
        {texts.reuseSeed}
      </Button>
    </fieldset>
  );
}

interface SayingProps {
  job: Job;
  onSaid(text: string): void;
}

function AgainActions({ job, onSaid }: SayingProps) {
  const messages = useMessages();
  const texts = messages.library;
  const report = useReport();
  const submit = useSubmit();
  const taken = useTaken(job);
  const retry = useRetry();
  const again = () =>
    submit.mutate(requestOf({ ...draftOf(job, taken), seed: null }, job.job_type), {
      onSuccess: () => onSaid(texts.queued),
      onError: report,
    });
  return (
    <div className="flex flex-wrap gap-1.5">
      <Button
        size="sm"
        icon={<RotateCcw size={14} />}
        title={texts.againHint}
        isBusy={submit.isPending}
        onClick={again}
      >
        {texts.again}
      </Button>
      {(job.state === "failed" || job.state === "cancelled") && (
        <Button size="sm" isBusy={retry.isPending} onClick={() => retry.mutate({ job })}>
          {messages.actions.retry}
        </Button>
      )}
      {job.state === "succeeded" && <CompareActions job={job} />}
    </div>
  );
}

function CompareActions({ job }: { job: Job }) {
  const texts = useMessages().library;
  const [, navigate] = useLocation();
  const { ids, toggle } = useComparison();
  const isIn = ids.includes(job.id);
  return (
    <>
      <Button
        size="sm"
        aria-pressed={isIn}
        icon={<Columns2 size={14} />}
        onClick={() => toggle(job.id)}
      >
        {isIn ? texts.inCompare : texts.addCompare}
      </Button>
      {isIn && ids.length > 1 && (
        <Button size="sm" variant="ghost" onClick={() => navigate(compareUrl(ids))}>
          {texts.openCompare(ids.length)}
        </Button>
      )}
    </>
  );
}

function FileActions({ job, asset, onDelete, onSaid }: Props & SayingProps) {
  const messages = useMessages();
  const texts = messages.library;
  const [, navigate] = useLocation();
  const download = useDownload();
  const archive = useArchive();
  const copyLink = async () => {
    const isCopied = await copyText(`${window.location.origin}/library/${job.id}`);
    onSaid(isCopied ? messages.actions.copied : messages.actions.notCopied);
  };
  const save = () => {
    if (job.assets.length > 1) archive.mutate([job.id]);
    else if (asset) download.mutate(asset);
  };
  return (
    <div className="-ml-2 flex flex-wrap gap-0.5">
      <FavouriteButton job={job} />
      {asset && <Icon icon={Download} label={messages.actions.download} onClick={save} />}
      <Icon icon={Link2} label={texts.copyLink} onClick={() => void copyLink()} />
      <Icon
        icon={ChartNoAxesCombined}
        label={texts.openPerformance}
        onClick={() => navigate(`/performance/jobs/${job.id}`)}
      />
      <Icon icon={Trash2} label={messages.actions.remove} onClick={onDelete} />
    </div>
  );
}

function Icon(props: { icon: LucideIcon; label: string; onClick(): void }) {
  const { icon: Shape, label, onClick } = props;
  return (
    // A plain hint: a tooltip would take the first Esc.
    <Button
      size="sm"
      variant="ghost"
      className="w-8 px-0!"
      aria-label={label}
      title={label}
      icon={<Shape size={16} />}
      onClick={onClick}
    />
  );
}
