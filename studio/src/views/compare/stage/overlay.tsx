import { useRef, useState } from "react";
import { Divider } from "@/views/compare/stage/divider";
import { Pane } from "@/views/compare/stage/pane";
import { Picture } from "@/views/compare/stage/picture";
import type { Source } from "@/views/compare/stage/source";
import { Tag } from "@/views/compare/stage/tag";

interface Props {
  pair: readonly [Source, Source];
}

/** Two results on each other, with a divider: the first to its left, the second to its right. */
export function Overlay({ pair: [first, second] }: Props) {
  const [percent, setPercent] = useState(50);
  const box = useRef<HTMLDivElement>(null);
  return (
    <Pane source={first}>
      <div ref={box} className="absolute inset-0">
        <Picture source={second} />
        <div
          className="absolute inset-0 bg-sunken"
          style={{ clipPath: `inset(0 ${100 - percent}% 0 0)` }}
        >
          <Picture source={first} />
        </div>
        <Tag name={first.name} className="absolute top-2 left-2" />
        <Tag name={second.name} className="absolute top-2 right-2" />
        <Divider
          percent={percent}
          onChange={setPercent}
          pane={box}
          names={[first.name, second.name]}
        />
      </div>
    </Pane>
  );
}
