import { useState } from "react";
import type { Job } from "@/api/client";
import { AssetView, isVideo, Thumbnail } from "@/media";
import { useMessages } from "@/messages";

interface Props {
  job: Job;
  name: string;
  image: number;
  onOpen(id: string): void;
}

/** The result: a still, which plays while it is pointed at or in focus. */
export function Picture({ job, name, image, onOpen }: Props) {
  const texts = useMessages().grid;
  const [isPlaying, setIsPlaying] = useState(false);
  const asset = job.assets[Math.min(image, job.assets.length - 1)];
  const start = () => setIsPlaying(true);
  const stop = () => setIsPlaying(false);
  if (!asset) return null;
  return (
    <button
      type="button"
      aria-label={texts.open(name)}
      onClick={() => onOpen(job.id)}
      onPointerEnter={start}
      onPointerLeave={stop}
      onFocus={start}
      onBlur={stop}
      className="relative block aspect-square w-full overflow-hidden bg-sunken focus-visible:outline-offset-[-2px]"
    >
      <Thumbnail asset={asset} alt="" className="size-full object-contain!" />
      {isPlaying && isVideo(asset) && (
        <AssetView
          asset={asset}
          job={job}
          autoplay
          muted
          loop
          controls={false}
          className="absolute inset-0 size-full"
        />
      )}
    </button>
  );
}
