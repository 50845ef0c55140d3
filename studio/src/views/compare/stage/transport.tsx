import { Pause, Play, Repeat, StepBack, StepForward } from "lucide-react";
import { useSyncExternalStore } from "react";
import { number } from "@/lib/format";
import { useShortcut } from "@/lib/shortcuts";
import { isVideo } from "@/media";
import { useMessages } from "@/messages";
import { IconButton } from "@/ui/button";
import { Segmented } from "@/ui/tabs";
import { SPEEDS } from "@/views/compare/logic/clock";
import type { Player, Playing } from "@/views/compare/logic/player";
import type { Source } from "@/views/compare/stage/source";

interface Props {
  player: Player;
  sources: readonly Source[];
}

/** What moves all videos together. */
export function Transport({ player, sources }: Props) {
  const messages = useMessages().compare;
  const playing = useSyncExternalStore(player.subscribe, player.snapshot);
  useShortcut({ keys: "k", label: messages.keyPlay, scope: "here" }, player.toggle);
  useShortcut({ keys: "arrowleft", label: messages.keyBack, scope: "here" }, () => player.step(-1));
  useShortcut({ keys: "arrowright", label: messages.keyOn, scope: "here" }, () => player.step(1));
  return (
    <fieldset className="mx-auto flex w-full max-w-3xl flex-col gap-1">
      <legend className="sr-only">{messages.transport}</legend>
      <Scrubber player={player} playing={playing} sources={sources} />
      <div className="flex flex-wrap items-center justify-center gap-x-3 gap-y-2">
        <div className="flex items-center gap-1">
          <IconButton
            label={messages.back}
            icon={<StepBack size={17} />}
            onClick={() => player.step(-1)}
          />
          <IconButton
            variant="secondary"
            label={playing.isPlaying ? messages.pause : messages.play}
            aria-busy={playing.isWaiting || undefined}
            icon={playing.isPlaying ? <Pause size={17} /> : <Play size={17} />}
            onClick={player.toggle}
          />
          <IconButton
            label={messages.on}
            icon={<StepForward size={17} />}
            onClick={() => player.step(1)}
          />
          <IconButton
            label={messages.loop}
            aria-pressed={playing.isLooped}
            icon={<Repeat size={16} className={playing.isLooped ? "text-accent-ink" : undefined} />}
            onClick={() => player.setLooped(!playing.isLooped)}
          />
        </div>
        <Segmented
          label={messages.speed}
          value={String(playing.speed)}
          onChange={(speed) => player.setSpeed(Number(speed))}
          options={SPEEDS.map((speed) => ({
            value: String(speed),
            label: `${number(speed, speed === 0.25 ? 2 : speed < 1 ? 1 : 0)}×`,
          }))}
        />
      </div>
    </fieldset>
  );
}

function Scrubber({ player, playing, sources }: Props & { playing: Playing }) {
  const messages = useMessages().compare;
  const { at_s, span_s, frame_s } = playing;
  const frames = sources
    .filter(({ asset }) => isVideo(asset))
    .map((source) => {
      const frame = player.frameOf(source.key);
      return { name: source.name, frame: frame === null ? null : frame + 1 };
    });
  const time = `${number(at_s, 2)} / ${number(span_s, 2)} s`;
  return (
    <div>
      <input
        type="range"
        aria-label={messages.scrub}
        aria-valuetext={time}
        min={0}
        max={span_s || 1}
        step={frame_s}
        value={at_s}
        disabled={span_s === 0}
        onChange={(event) => player.seek(Number(event.target.value))}
        className="h-6 w-full accent-accent"
      />
      <div className="numeric flex flex-wrap justify-between gap-x-4 text-xs text-muted">
        <span>{time}</span>
        <span className="flex flex-wrap gap-x-3">
          {frames.map(({ name, frame }) => (
            <span key={name} className="whitespace-nowrap">
              {messages.frame(name, frame === null ? "–" : number(frame))}
            </span>
          ))}
        </span>
      </div>
    </div>
  );
}
