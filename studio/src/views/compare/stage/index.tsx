import { isVideo } from "@/media";
import { useMessages } from "@/messages";
import { Select } from "@/ui/field";
import { Segmented } from "@/ui/tabs";
import { Difference } from "@/views/compare/stage/difference";
import { LookingProvider, useNewLooking } from "@/views/compare/stage/looking";
import { Overlay } from "@/views/compare/stage/overlay";
import { SideBySide } from "@/views/compare/stage/side-by-side";
import { type Look, looksFor, type Source } from "@/views/compare/stage/source";
import { Toggle } from "@/views/compare/stage/toggle";
import { Transport } from "@/views/compare/stage/transport";
import { ZoomButtons } from "@/views/compare/stage/zoom-buttons";

interface Props {
  sources: readonly Source[];
  look: Look;
  onLook(look: Look): void;
  /** How many files the largest result has, and which is shown. */
  count: number;
  index: number;
  onIndex(index: number): void;
}

/** Results to be looked at together: the ways to look, zoom, and for videos the controls. */
export function Stage({ sources, look: wished, onLook, count, index, onIndex }: Props) {
  const messages = useMessages().compare;
  const looking = useNewLooking();
  const looks = looksFor(sources);
  const look = looks.includes(wished) ? wished : "side";
  const hasVideos = sources.some(({ asset }) => isVideo(asset));
  return (
    <LookingProvider value={looking}>
      <div className="flex flex-col gap-3">
        <div className="flex flex-wrap items-center justify-between gap-x-4 gap-y-2">
          {looks.length > 1 ? (
            <Segmented
              label={messages.look}
              value={look}
              onChange={onLook}
              options={looks.map((value) => ({ value, label: messages.looks[value] }))}
            />
          ) : (
            <span />
          )}
          <div className="flex items-center gap-3">
            {count > 1 && (
              <Select
                aria-label={messages.image}
                className="h-8! w-auto! text-[13px]"
                value={String(index)}
                onChange={(event) => onIndex(Number(event.target.value))}
                options={Array.from({ length: count }, (_, each) => ({
                  value: String(each),
                  label: messages.imageOf(each + 1, count),
                }))}
              />
            )}
            <ZoomButtons zooming={looking.zooming} />
          </div>
        </div>
        <View sources={sources} look={look} />
        {hasVideos && <Transport player={looking.player} sources={sources} />}
      </div>
    </LookingProvider>
  );
}

interface ViewProps {
  sources: readonly Source[];
  look: Look;
}

function View({ sources, look }: ViewProps) {
  const [first, second] = sources;
  if (look === "overlay" && first && second) return <Overlay pair={[first, second]} />;
  if (look === "difference" && first && second) return <Difference pair={[first, second]} />;
  if (look === "toggle") return <Toggle sources={sources} />;
  return <SideBySide sources={sources} />;
}
