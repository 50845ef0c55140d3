import { useQuery } from "@tanstack/react-query";
import { Heart, Search, X } from "lucide-react";
import { memo, useEffect, useRef, useState } from "react";
import { catalogueQuery } from "@/api/queries";
import { title } from "@/lib/format";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { cx } from "@/ui/cx";
import { Input, Select } from "@/ui/field";
import { Segmented } from "@/ui/tabs";
import { type Filters, isNarrowed, NO_FILTERS } from "@/views/library/filters";

const SEARCH_AFTER_MS = 250;

interface Props {
  filters: Filters;
  onChange(change: Partial<Filters>): void;
}

export const FilterBar = memo(function FilterBar({ filters, onChange }: Props) {
  const messages = useMessages();
  const texts = messages.library;
  return (
    <search className="mb-4 flex flex-wrap items-center gap-2">
      <SearchField text={filters.text} onChange={(text) => onChange({ text })} />
      <Segmented
        label={texts.media}
        value={filters.media}
        onChange={(media) => onChange({ media })}
        options={[
          { value: "all", label: texts.mediaAll },
          { value: "video", label: texts.mediaVideo },
          { value: "image", label: texts.mediaImage },
        ]}
      />
      <Button
        aria-pressed={filters.isFavourite}
        icon={
          <Heart
            size={15}
            fill={filters.isFavourite ? "currentColor" : "none"}
            className={cx(filters.isFavourite && "text-bad")}
          />
        }
        className={cx(filters.isFavourite && "border-line-strong! bg-sunken!")}
        onClick={() => onChange({ isFavourite: !filters.isFavourite })}
      >
        {texts.favourites}
      </Button>
      <Selects filters={filters} onChange={onChange} />
      {isNarrowed(filters) && (
        <Button
          variant="ghost"
          icon={<X size={15} />}
          onClick={() => onChange({ ...NO_FILTERS, sort: filters.sort })}
        >
          {texts.clearFilters}
        </Button>
      )}
    </search>
  );
});

function Selects({ filters, onChange }: Props) {
  const texts = useMessages().library;
  const { data: catalogue } = useQuery(catalogueQuery);
  const types = (catalogue?.job_types ?? []).map(({ name }) => ({
    value: name,
    label: title(name),
  }));
  return (
    <div className="grid grid-cols-2 gap-2 max-sm:w-full sm:flex">
      <Select
        aria-label={texts.type}
        className="sm:w-auto!"
        value={filters.type}
        onChange={(event) => onChange({ type: event.target.value })}
        options={[{ value: "", label: texts.typeAll }, ...types]}
      />
      <Select
        aria-label={texts.state}
        className="sm:w-auto!"
        value={filters.state}
        onChange={(event) => onChange({ state: event.target.value as Filters["state"] })}
        options={[
          { value: "done", label: texts.stateDone },
          { value: "all", label: texts.stateAll },
          { value: "failed", label: texts.stateFailed },
          { value: "cancelled", label: texts.stateCancelled },
        ]}
      />
      <Select
        aria-label={texts.since}
        className="sm:w-auto!"
        value={filters.since}
        onChange={(event) => onChange({ since: event.target.value as Filters["since"] })}
        options={[
          { value: "ever", label: texts.sinceEver },
          { value: "day", label: texts.sinceDay },
          { value: "week", label: texts.sinceWeek },
          { value: "month", label: texts.sinceMonth },
        ]}
      />
      <Select
        aria-label={texts.sort}
        className="sm:w-auto!"
        value={filters.sort}
        onChange={(event) => onChange({ sort: event.target.value as Filters["sort"] })}
        options={[
          { value: "new", label: texts.sortNew },
          { value: "old", label: texts.sortOld },
        ]}
      />
    </div>
  );
}

function SearchField({ text, onChange }: { text: string; onChange(text: string): void }) {
  const texts = useMessages().library;
  const [typed, setTyped] = useState(text);
  const latest = useRef(onChange);
  latest.current = onChange;
  useEffect(() => setTyped(text), [text]);
  useEffect(() => {
    if (typed === text) return;
    const timer = setTimeout(() => latest.current(typed), SEARCH_AFTER_MS);
    return () => clearTimeout(timer);
  }, [typed, text]);
  return (
    <div className="relative min-w-48 flex-1 max-sm:w-full max-sm:flex-none">
      <Search
        size={15}
        aria-hidden
        className="pointer-events-none absolute top-1/2 left-3 -translate-y-1/2 text-faint"
      />
      <Input
        type="search"
        aria-label={texts.search}
        placeholder={texts.search}
        value={typed}
        maxLength={200}
        className="pl-9!"
        onChange={(event) => setTyped(event.target.value)}
      />
    </div>
  );
}
