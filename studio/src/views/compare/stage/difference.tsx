import { useEffect, useRef, useState } from "react";
import { number, percent } from "@/lib/format";
import { useFreshAsset } from "@/media";
import { useMessages } from "@/messages";
import { Segmented } from "@/ui/tabs";
import { transformOf } from "@/views/compare/logic/zoom";
import { useLooking } from "@/views/compare/stage/looking";
import { type Apart, paintDifference } from "@/views/compare/stage/paint";
import { Pane } from "@/views/compare/stage/pane";
import type { Source } from "@/views/compare/stage/source";

const GAINS = ["1", "4", "16"] as const;
type Gain = (typeof GAINS)[number];

interface Props {
  pair: readonly [Source, Source];
}

/** Where two images differ: black is equal, the brighter the further apart. */
export function Difference({ pair: [first, second] }: Props) {
  const messages = useMessages();
  const { view } = useLooking().zooming;
  const [gain, setGain] = useState<Gain>("4");
  const { canvas, apart } = useDifference(first, second, Number(gain));
  return (
    <div className="flex flex-col items-center gap-3">
      <Pane source={first}>
        <canvas
          ref={canvas}
          role="img"
          aria-label={messages.compare.differenceAlt(first.name, second.name)}
          className="absolute inset-0 size-full origin-top-left object-contain"
          style={{
            transform: transformOf(view),
            imageRendering: view.scale >= 4 ? "pixelated" : undefined,
          }}
        />
      </Pane>
      <div className="flex flex-wrap items-center justify-center gap-x-4 gap-y-2">
        <Segmented
          label={messages.compare.gain}
          value={gain}
          onChange={(next) => setGain(next)}
          options={GAINS.map((value) => ({ value, label: messages.compare.gainOf(value) }))}
        />
        <p className="text-[13px] text-muted" role="status">
          {apart === "unequal" && messages.compare.unequalSizes}
          {apart === "broken" && messages.compare.gone}
          {typeof apart === "object" &&
            apart !== null &&
            messages.compare.apart(number(apart.mean, 1), percent(apart.share, 1))}
        </p>
      </div>
    </div>
  );
}

function useDifference(first: Source, second: Source, gain: number) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [apart, setApart] = useState<Apart>(null);
  const [a, b] = [useFreshAsset(first.asset).asset.url, useFreshAsset(second.asset).asset.url];
  useEffect(() => {
    let isOver = false;
    Promise.all([load(a), load(b)]).then(
      ([one, other]) => {
        if (!isOver && canvas.current) setApart(paintDifference(canvas.current, one, other, gain));
      },
      () => !isOver && setApart("broken"),
    );
    return () => {
      isOver = true;
    };
  }, [a, b, gain]);
  return { canvas, apart };
}

async function load(url: string): Promise<HTMLImageElement> {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}
