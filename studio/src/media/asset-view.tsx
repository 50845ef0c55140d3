import type { Ref, SyntheticEvent } from "react";
import type { Asset, Job } from "@/api/client";
import { isVideo, useFreshAsset } from "@/media/assets";
import { BrokenFile } from "@/media/thumbnail";
import { useMessages } from "@/messages";
import { cx } from "@/ui/cx";

export interface AssetViewProps {
  asset: Asset;
  job: Job;
  autoplay?: boolean;
  muted?: boolean;
  loop?: boolean;
  /** The browser's own controls, of videos; on unless said otherwise. */
  controls?: boolean;
  /** The element itself: to play, seek and measure. */
  ref?: Ref<HTMLVideoElement | HTMLImageElement>;
  className?: string;
}

/** A file as it is: an image, or a video with its player. */
export function AssetView(props: AssetViewProps) {
  const { asset: given, job, className } = props;
  const { asset, isBroken, renew } = useFreshAsset(given);
  const messages = useMessages();
  if (isBroken) return <BrokenFile className={cx("rounded-xl", className)} />;
  if (isVideo(asset)) return <Player {...props} asset={asset} renew={renew} />;
  return (
    <img
      ref={props.ref as Ref<HTMLImageElement>}
      src={asset.url}
      alt={messages.media.alt(job.prompt)}
      width={asset.width ?? job.width}
      height={asset.height ?? job.height}
      decoding="async"
      onError={renew}
      className={cx("object-contain", className)}
    />
  );
}

function Player({
  asset,
  job,
  renew,
  autoplay = false,
  muted = true,
  loop = true,
  controls = true,
  ref,
  className,
}: AssetViewProps & { renew(): void }) {
  const messages = useMessages();
  const isStill = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  return (
    <video
      ref={ref as Ref<HTMLVideoElement>}
      src={asset.url}
      poster={asset.thumbnail_url ?? undefined}
      aria-label={messages.media.video(job.prompt)}
      width={asset.width ?? job.width}
      height={asset.height ?? job.height}
      controls={controls}
      autoPlay={autoplay && !isStill}
      muted={muted}
      loop={loop}
      playsInline
      preload="metadata"
      onError={(event: SyntheticEvent<HTMLVideoElement>) => {
        if (event.currentTarget.error) renew();
      }}
      className={cx("object-contain", className)}
    />
  );
}
