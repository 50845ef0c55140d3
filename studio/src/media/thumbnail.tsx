import { ImageOff } from "lucide-react";
import type { Asset } from "@/api/client";
import { isVideo, useFreshAsset } from "@/media/assets";
import { useMessages } from "@/messages";
import { cx } from "@/ui/cx";

interface Props {
  asset: Asset;
  alt: string;
  className?: string;
}

/** A small still of a file. */
export function Thumbnail({ asset: given, alt, className }: Props) {
  const { asset, isBroken, renew } = useFreshAsset(given);
  const src = asset.thumbnail_url ?? (isVideo(asset) ? null : asset.url);
  if (isBroken || !src) return <BrokenFile className={className} />;
  return (
    <img
      src={src}
      alt={alt}
      width={asset.width ?? undefined}
      height={asset.height ?? undefined}
      loading="lazy"
      decoding="async"
      draggable={false}
      onError={renew}
      className={cx("bg-sunken object-cover", className)}
    />
  );
}

export function BrokenFile({ className }: { className?: string }) {
  const messages = useMessages();
  return (
    <div
      className={cx(
        "flex flex-col items-center justify-center gap-1 bg-sunken p-3 text-center text-xs text-muted",
        className,
      )}
    >
      <ImageOff size={18} aria-hidden />
      {messages.media.broken}
    </div>
  );
}
