import { useFavourite } from "@/api/actions";
import type { Job } from "@/api/client";
import { useShortcut } from "@/lib/shortcuts";
import { useRate } from "@/media/rating";
import { useMessages } from "@/messages";
import { useSelection } from "@/views/library/selection";

/** One star more; after the fifth none. */
export const nextStars = (job: Job): number | null => {
  const stars = job.rating?.stars ?? 0;
  return stars >= 5 ? null : stars + 1;
};

/** The keys of a card that are letters; arrows and Space are the grid's own. */
export function useGridKeys(
  jobs: readonly Job[],
  isOn: boolean,
  onDelete: (job: Job | null) => void,
): void {
  const { key, shown } = useMessages().library;
  const favourite = useFavourite();
  const rate = useRate();
  const focused = (): Job | undefined => {
    const id = document.activeElement?.getAttribute("data-card");
    return jobs.find((job) => job.id === id);
  };
  const withFocused = (act: (job: Job) => void) => () => {
    const job = focused();
    if (job) act(job);
  };
  useShortcut(
    { keys: "f", label: key.favourite, scope: "here" },
    withFocused((job) => favourite.mutate({ job, is_favourite: !job.is_favourite })),
    isOn,
  );
  useShortcut(
    { keys: "s", label: key.star, scope: "here" },
    withFocused((job) => job.state === "succeeded" && rate.mutate({ job, stars: nextStars(job) })),
    isOn,
  );
  useShortcut(
    { keys: "delete", label: key.remove, scope: "here" },
    () => {
      const job = focused();
      if (useSelection.getState().ids.size > 0) onDelete(null);
      else if (job) onDelete(job);
    },
    isOn,
  );
  useShortcut(
    { keys: "escape", label: key.clear, scope: "here" },
    () => useSelection.getState().clear(),
    isOn,
  );
  // Answered by the grid itself; here they stand for the help sheet.
  const nothing = () => undefined;
  useShortcut({ keys: shown.arrows, label: key.move, scope: "here" }, nothing, isOn);
  useShortcut({ keys: shown.enter, label: key.open, scope: "here" }, nothing, isOn);
  useShortcut({ keys: shown.space, label: key.select, scope: "here" }, nothing, isOn);
}
