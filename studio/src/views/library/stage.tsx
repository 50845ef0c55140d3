import { Minus, Plus } from "lucide-react";
import { type KeyboardEvent, type PointerEvent, useLayoutEffect, useRef, useState } from "react";
import type { Asset, Job } from "@/api/client";
import { AssetView } from "@/media/asset-view";
import { isVideo } from "@/media/assets";
import { useMessages } from "@/messages";
import { StateBadge } from "@/ui/badge";
import { Button } from "@/ui/button";
import { cx } from "@/ui/cx";

const ZOOMS = [1, 2, 4, 8];

/** The file itself, as large as there is room. */
export function Stage({ job, asset }: { job: Job; asset: Asset | undefined }) {
  if (!asset) return <NoFile job={job} />;
  if (isVideo(asset))
    return (
      // biome-ignore lint/a11y/noStaticElementInteractions: keys of the player are left to the player
      <div className={FRAME} onKeyDown={keepKeys}>
        <AssetView asset={asset} job={job} autoplay className="absolute inset-0 size-full" />
      </div>
    );
  return <ZoomedImage job={job} asset={asset} />;
}

const FRAME =
  "relative h-[52dvh] min-h-52 w-full overflow-hidden rounded-xl bg-sunken lg:h-auto lg:min-h-0 lg:flex-1";

function keepKeys(event: KeyboardEvent): void {
  if (event.target instanceof HTMLVideoElement && event.key.startsWith("Arrow"))
    event.stopPropagation();
}

function NoFile({ job }: { job: Job }) {
  const texts = useMessages().library;
  return (
    <div className={cx(FRAME, "grid place-items-center")}>
      <div className="flex max-w-md flex-col items-center gap-2 p-6 text-center">
        <StateBadge job={job} />
        <p className="text-sm break-words text-muted">
          {job.error?.message ?? (job.state === "succeeded" ? texts.noFile : texts.cancelledHint)}
        </p>
        {job.error?.hint && <p className="text-sm text-muted">{job.error.hint}</p>}
      </div>
    </div>
  );
}

function ZoomedImage({ job, asset }: { job: Job; asset: Asset }) {
  const texts = useMessages().library;
  const [zoom, setZoom] = useState(1);
  const frame = useRef<HTMLDivElement>(null);
  const drag = useDragScroll(frame);
  useLayoutEffect(() => {
    const box = frame.current;
    if (!box) return;
    box.scrollLeft = (box.scrollWidth - box.clientWidth) / 2;
    box.scrollTop = (box.scrollHeight - box.clientHeight) / 2;
    void zoom;
  }, [zoom]);
  const by = (steps: number) =>
    setZoom(ZOOMS[Math.max(0, Math.min(ZOOMS.length - 1, ZOOMS.indexOf(zoom) + steps))] ?? 1);
  return (
    <div className={FRAME}>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: the buttons below do the same */}
      <div
        ref={frame}
        {...drag}
        onDoubleClick={() => setZoom(zoom === 1 ? 2 : 1)}
        className={cx("absolute inset-0 overflow-auto", zoom > 1 && "cursor-grab")}
      >
        <div style={{ width: `${zoom * 100}%`, height: `${zoom * 100}%` }}>
          <AssetView asset={asset} job={job} className="size-full" />
        </div>
      </div>
      <div className="absolute right-2 bottom-2 flex items-center rounded-lg border border-line bg-surface">
        <Button
          size="sm"
          variant="ghost"
          className="w-8 px-0!"
          title={texts.zoomOut}
          aria-label={texts.zoomOut}
          disabled={zoom === 1}
          icon={<Minus size={15} />}
          onClick={() => by(-1)}
        />
        <span role="status" className="numeric min-w-8 text-center text-xs text-muted">
          {zoom === 1 ? texts.fit : texts.zoomLevel(zoom)}
        </span>
        <Button
          size="sm"
          variant="ghost"
          className="w-8 px-0!"
          title={texts.zoomIn}
          aria-label={texts.zoomIn}
          disabled={zoom === ZOOMS.at(-1)}
          icon={<Plus size={15} />}
          onClick={() => by(1)}
        />
      </div>
    </div>
  );
}

/** A mouse pulls what is larger than its frame; fingers do so by themselves. */
function useDragScroll(frame: React.RefObject<HTMLElement | null>) {
  const from = useRef<{ x: number; y: number } | null>(null);
  return {
    onPointerDown: (event: PointerEvent) => {
      if (event.pointerType !== "mouse" || event.button !== 0) return;
      event.preventDefault();
      event.currentTarget.setPointerCapture(event.pointerId);
      from.current = { x: event.clientX, y: event.clientY };
    },
    onPointerMove: (event: PointerEvent) => {
      if (!from.current) return;
      frame.current?.scrollBy(from.current.x - event.clientX, from.current.y - event.clientY);
      from.current = { x: event.clientX, y: event.clientY };
    },
    onPointerUp: () => {
      from.current = null;
    },
  };
}
