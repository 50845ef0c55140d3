import { Columns2, Download, Heart, Trash2, X } from "lucide-react";
import { useLocation } from "wouter";
import { useFavourite } from "@/api/actions";
import type { Job } from "@/api/client";
import { useMessages } from "@/messages";
import { compareUrl, MOST_COMPARED, useComparison } from "@/stores/comparison";
import { Button, IconButton } from "@/ui/button";
import { useArchive } from "@/views/library/archive";
import { useSelection } from "@/views/library/selection";

interface Props {
  selected: readonly Job[];
  onDelete(): void;
}

/** What can be done to all selected results; it stands where it can be reached while scrolling. */
export function BulkBar({ selected, onDelete }: Props) {
  const { library: texts, actions } = useMessages();
  const archive = useArchive();
  const { clear } = useSelection.getState();
  const ids = selected.map((job) => job.id);
  const hasFiles = selected.some((job) => job.assets.length > 0);
  return (
    <section
      aria-label={texts.selection}
      className="fixed inset-x-3 bottom-18 z-20 mx-auto flex w-fit max-w-[calc(100vw-1.5rem)] flex-wrap items-center justify-center gap-1.5 rounded-2xl border border-line bg-raised p-2 shadow-pop md:bottom-5"
    >
      <span aria-live="polite" className="numeric px-2 text-[13px] font-medium">
        {texts.selected(ids.length)}
      </span>
      <Button
        size="sm"
        icon={<Download size={15} />}
        disabled={!hasFiles}
        isBusy={archive.isPending}
        onClick={() => archive.mutate(ids)}
      >
        <span className="max-sm:sr-only">{texts.zip}</span>
      </Button>
      <FavouriteMany selected={selected} />
      <CompareMany ids={ids} />
      <Button size="sm" variant="danger" icon={<Trash2 size={15} />} onClick={onDelete}>
        <span className="max-sm:sr-only">{actions.remove}</span>
      </Button>
      <IconButton size="sm" label={texts.clear} icon={<X size={16} />} onClick={clear} />
    </section>
  );
}

function FavouriteMany({ selected }: { selected: readonly Job[] }) {
  const texts = useMessages().library;
  const favourite = useFavourite();
  const isOn = selected.every((job) => job.is_favourite);
  const toggle = () => {
    for (const job of selected)
      if (job.is_favourite === isOn) favourite.mutate({ job, is_favourite: !isOn });
  };
  return (
    <Button
      size="sm"
      aria-pressed={isOn}
      icon={<Heart size={15} fill={isOn ? "currentColor" : "none"} />}
      onClick={toggle}
    >
      <span className="max-sm:sr-only">{texts.favourite}</span>
    </Button>
  );
}

function CompareMany({ ids }: { ids: string[] }) {
  const texts = useMessages().library;
  const [, navigate] = useLocation();
  const isOffered = ids.length >= 2 && ids.length <= MOST_COMPARED;
  return (
    <Button
      size="sm"
      icon={<Columns2 size={15} />}
      disabled={!isOffered}
      title={isOffered ? undefined : texts.compareHint}
      onClick={() => {
        useComparison.getState().set(ids);
        navigate(compareUrl(ids));
      }}
    >
      <span className="max-sm:sr-only">{texts.compare}</span>
    </Button>
  );
}
