import { Eye } from "lucide-react";
import { useState } from "react";
import { useShortcut } from "@/lib/shortcuts";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { cx } from "@/ui/cx";
import { Pane } from "@/views/compare/stage/pane";
import { Picture } from "@/views/compare/stage/picture";
import type { Source } from "@/views/compare/stage/source";
import { Tag } from "@/views/compare/stage/tag";

interface Props {
  sources: readonly Source[];
}

/** Results at one place, one after the other: eyes see well what changes. */
export function Toggle({ sources }: Props) {
  const messages = useMessages();
  const [place, setPlace] = useState(0);
  const [isHeld, setIsHeld] = useState(false);
  const at = (place + (isHeld ? 1 : 0)) % sources.length;
  const shown = sources[at];
  const next = () => setPlace((known) => (known + 1) % sources.length);
  useShortcut({ keys: "t", label: messages.compare.keyToggle, scope: "here" }, next);
  if (!shown || !sources[0]) return null;
  const release = () => setIsHeld(false);
  return (
    <div className="flex flex-col items-center gap-3">
      <Pane source={sources[0]}>
        {sources.map((source, index) => (
          <Picture
            key={source.key}
            source={source}
            isHidden={index !== at}
            className={cx(index !== at && "invisible")}
          />
        ))}
        <Tag name={shown.name} className="absolute top-2 left-2" />
      </Pane>
      <p className="sr-only" aria-live="polite">
        {messages.compare.shown(shown.name)}
      </p>
      <Button
        icon={<Eye size={16} />}
        onPointerDown={() => setIsHeld(true)}
        onPointerUp={release}
        onPointerLeave={release}
        onPointerCancel={release}
        onContextMenu={(event) => event.preventDefault()}
        onClick={(event) => event.detail === 0 && next()}
      >
        {messages.compare.hold}
      </Button>
    </div>
  );
}
