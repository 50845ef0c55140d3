import { useEffect, useRef } from "react";
import { isVideo, useFreshAsset } from "@/media";
import { useMessages } from "@/messages";
import { cx } from "@/ui/cx";
import { transformOf } from "@/views/compare/logic/zoom";
import { useLooking } from "@/views/compare/stage/looking";
import type { Source } from "@/views/compare/stage/source";

interface Props {
  source: Source;
  className?: string;
  /** For screen readers another element says what it is. */
  isHidden?: boolean;
}

const PIXELS_FROM = 4;
const FILL = "absolute inset-0 size-full object-contain origin-top-left";

/** A file in its pane: an image, or a video under the shared clock. */
export function Picture({ source, className, isHidden }: Props) {
  const { zooming, measure } = useLooking();
  const { view } = zooming;
  const { asset, isBroken, renew } = useFreshAsset(source.asset);
  const messages = useMessages();
  const style = {
    transform: transformOf(view),
    imageRendering: view.scale >= PIXELS_FROM ? ("pixelated" as const) : undefined,
  };
  if (isBroken)
    return (
      <p className="absolute inset-0 grid place-items-center p-4 text-center text-sm text-muted">
        {messages.compare.gone}
      </p>
    );
  if (isVideo(asset))
    return (
      <Video
        key={asset.id}
        source={{ ...source, asset }}
        style={style}
        renew={renew}
        className={className}
        isHidden={isHidden}
      />
    );
  return (
    <img
      src={asset.url}
      alt={isHidden ? "" : messages.compare.alt(source.name, source.alt)}
      draggable={false}
      decoding="async"
      onError={renew}
      onLoad={({ currentTarget: { naturalWidth, naturalHeight } }) =>
        measure(asset.id, naturalWidth / naturalHeight)
      }
      className={cx(FILL, className)}
      style={style}
    />
  );
}

interface VideoProps extends Props {
  style: { transform: string; imageRendering?: "pixelated" };
  renew(): void;
}

function Video({ source, style, renew, className, isHidden }: VideoProps) {
  const { player, measure } = useLooking();
  const ref = useRef<HTMLVideoElement>(null);
  const messages = useMessages();
  const { key, asset } = source;
  useEffect(() => {
    const video = ref.current;
    return video ? player.attach(key, video, asset.fps) : undefined;
  }, [player, key, asset.fps]);
  return (
    <video
      ref={ref}
      src={asset.url}
      aria-label={messages.compare.alt(source.name, source.alt)}
      aria-hidden={isHidden || undefined}
      muted
      playsInline
      disablePictureInPicture
      preload="auto"
      onLoadedMetadata={({ currentTarget: { videoWidth, videoHeight } }) =>
        measure(asset.id, videoWidth / videoHeight)
      }
      onError={(event) => event.currentTarget.error && renew()}
      className={cx(FILL, className)}
      style={style}
    />
  );
}
