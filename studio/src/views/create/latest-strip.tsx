import { useQuery } from "@tanstack/react-query";
import { Images, Pause, Play } from "lucide-react";
import { useEffect, useMemo } from "react";
import { Link } from "wouter";
import { activeQuery, newestQuery } from "@/api/queries";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { Empty, ErrorState, Skeleton } from "@/ui/states";
import { latestOf } from "@/views/create/latest";
import { useMemory } from "@/views/create/memory";
import { Tile } from "@/views/create/tile";

export const EVERYTHING = {};
const GRID = "grid grid-cols-2 gap-3 sm:grid-cols-[repeat(auto-fill,minmax(10.5rem,1fr))]";

/** What was just submitted here, and what came out lately. */
export function Latest() {
  const { latest } = useMessages().create;
  const newest = useQuery(newestQuery(EVERYTHING));
  const { data: active } = useQuery(activeQuery);
  useReducedMotion();
  const submitted = useMemory((store) => store.submitted);
  const jobs = useMemo(
    () => latestOf([...(newest.data ?? []), ...(active ?? [])], submitted),
    [newest.data, active, submitted],
  );
  const hasVideo = jobs.some((job) => job.media_type.startsWith("video/") && job.assets.length > 0);
  return (
    <section aria-labelledby="latest" className="mt-8">
      <div className="mb-3 flex min-h-8 items-center gap-2">
        <h2 id="latest" className="mr-auto text-[15px] font-semibold">
          {latest.title}
        </h2>
        {hasVideo && <PlayToggle />}
        {jobs.length > 0 && (
          <Link
            href="/library"
            className="inline-flex h-8 items-center rounded-md px-2 text-[13px] font-medium text-muted hover:bg-sunken hover:text-ink"
          >
            {latest.all}
          </Link>
        )}
      </div>
      {newest.isPending ? (
        <div className={GRID}>
          {["a", "b", "c", "d"].map((key) => (
            <Skeleton key={key} className="h-[16.75rem] rounded-xl" />
          ))}
        </div>
      ) : newest.isError && jobs.length === 0 ? (
        <ErrorState error={newest.error} onRetry={() => void newest.refetch()} />
      ) : jobs.length === 0 ? (
        <div className="rounded-2xl border border-dashed border-line">
          <Empty icon={<Images size={24} />} title={latest.empty} text={latest.emptyHint} />
        </div>
      ) : (
        <ul className={GRID}>
          {jobs.map((job) => (
            <Tile key={job.id} job={job} />
          ))}
        </ul>
      )}
    </section>
  );
}

/** Who wants less motion gets it, also where playing was wished for before; Play starts it anew. */
function useReducedMotion(): void {
  useEffect(() => {
    const wish = window.matchMedia?.("(prefers-reduced-motion: reduce)");
    const heed = () => wish?.matches && useMemory.getState().set({ isPlaying: false });
    heed();
    wish?.addEventListener("change", heed);
    return () => wish?.removeEventListener("change", heed);
  }, []);
}

function PlayToggle() {
  const { latest } = useMessages().create;
  const { isPlaying, set } = useMemory();
  return (
    <Button
      size="sm"
      variant="ghost"
      icon={isPlaying ? <Pause size={14} aria-hidden /> : <Play size={14} aria-hidden />}
      onClick={() => set({ isPlaying: !isPlaying })}
    >
      {isPlaying ? latest.pause : latest.play}
    </Button>
  );
}
