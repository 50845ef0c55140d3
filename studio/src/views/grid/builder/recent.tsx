import { useQuery } from "@tanstack/react-query";
import { Grid3x3 } from "lucide-react";
import { Link } from "wouter";
import { newestQuery } from "@/api/queries";
import { ago } from "@/lib/format";
import { useMessages } from "@/messages";
import { Section } from "@/ui/card";
import { parameterName } from "@/views/grid/builder/names";
import { gridsIn, recentGrids } from "@/views/grid/logic/recent";
import { useGrids } from "@/views/grid/store";

const MOST_SHOWN = 12;

export function Recent() {
  const messages = useMessages();
  const texts = messages.grid;
  const { known } = useGrids();
  const { data } = useQuery(newestQuery({}));
  const found = gridsIn(data ?? []);
  const grids = recentGrids(known, found).slice(0, MOST_SHOWN);
  return (
    <Section id="recent" title={texts.recent}>
      {grids.length === 0 && <p className="text-sm text-muted">{texts.recentNone}</p>}
      <ul className="-mx-2 flex flex-col">
        {grids.map((grid) => (
          <li key={grid.batch_id}>
            <Link
              href={`/grid/${grid.batch_id}`}
              className="flex items-center gap-3 rounded-lg px-2 py-2 hover:bg-sunken"
            >
              <Grid3x3 size={16} aria-hidden className="shrink-0 text-faint" />
              <span className="min-w-0 flex-1">
                <span className="block truncate text-sm font-medium">{grid.prompt}</span>
                <span className="block truncate text-xs text-muted">
                  {texts.jobs(grid.num_jobs)}{" "}
                  {texts.by(grid.axes.map((axis) => parameterName(axis.name, messages)).join(", "))}
                </span>
              </span>
              <span className="shrink-0 text-xs text-muted">{ago(grid.at_ms / 1000)}</span>
            </Link>
          </li>
        ))}
      </ul>
    </Section>
  );
}
