import { cx } from "@/ui/cx";
import { Pane } from "@/views/compare/stage/pane";
import { Picture } from "@/views/compare/stage/picture";
import type { Source } from "@/views/compare/stage/source";
import { Tag } from "@/views/compare/stage/tag";

interface Props {
  sources: readonly Source[];
}

export function columnsFor(count: number): string {
  if (count <= 1) return "grid-cols-1";
  if (count === 2 || count === 4) return "grid-cols-2";
  return "grid-cols-2 lg:grid-cols-3";
}

export function SideBySide({ sources }: Props) {
  return (
    <div className={cx("grid items-start gap-2 sm:gap-3", columnsFor(sources.length))}>
      {sources.map((source) => (
        <Pane key={source.key} source={source}>
          <Picture source={source} />
          <Tag name={source.name} className="absolute top-2 left-2" />
        </Pane>
      ))}
    </div>
  );
}
