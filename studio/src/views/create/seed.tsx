import { Dices, History, Plus } from "lucide-react";
import { useEffect, useState } from "react";
import { useMessages } from "@/messages";
import { useDraft } from "@/stores/draft";
import { IconButton } from "@/ui/button";
import { cx } from "@/ui/cx";
import { Input } from "@/ui/field";
import { Segmented } from "@/ui/tabs";
import { useMemory } from "@/views/create/memory";
import { parseSeed, randomSeed, stepSeed } from "@/views/create/seeds";
import { useProblem } from "@/views/create/service";

/** A new seed for every job, or one that stays: drawn, stepped or taken from the last job. */
export function SeedField() {
  const { seed: texts } = useMessages().create;
  const seed = useDraft((store) => store.draft.seed);
  const set = useDraft((store) => store.set);
  const lastSeed = useMemory((store) => store.lastSeed);
  const isLocked = seed !== null;
  return (
    <div className="flex flex-col gap-2">
      <div className="flex flex-wrap items-center justify-between gap-2">
        <span id="seed-label" className="text-[13px] font-medium">
          {texts.label}
        </span>
        <Segmented
          label={texts.label}
          value={isLocked ? "locked" : "random"}
          options={[
            { value: "random", label: texts.random },
            { value: "locked", label: texts.locked },
          ]}
          onChange={(next) => {
            if (next === "random") set({ seed: null });
            else if (!isLocked) set({ seed: lastSeed ?? randomSeed() });
          }}
        />
      </div>
      {isLocked ? <LockedSeed seed={seed} onChange={(next) => set({ seed: next })} /> : <Note />}
    </div>
  );
}

function Note() {
  const { seed: texts } = useMessages().create;
  return <p className="text-xs text-muted">{texts.randomHint}</p>;
}

function LockedSeed({ seed, onChange }: { seed: number; onChange(seed: number): void }) {
  const { seed: texts } = useMessages().create;
  const lastSeed = useMemory((store) => store.lastSeed);
  const [text, setText] = useState(String(seed));
  useEffect(() => setText(String(seed)), [seed]);
  const problem = useProblem("seed");
  const isIllegal = parseSeed(text) === null;
  const error = isIllegal ? texts.illegal : problem;
  return (
    <>
      <div className="flex items-center gap-1">
        <Input
          aria-labelledby="seed-label"
          aria-describedby="seed-hint"
          aria-invalid={error ? true : undefined}
          inputMode="numeric"
          autoComplete="off"
          className="numeric min-w-0 flex-1"
          value={text}
          onChange={(event) => {
            setText(event.target.value);
            const next = parseSeed(event.target.value);
            if (next !== null) onChange(next);
          }}
          onBlur={() => setText(String(seed))}
        />
        <IconButton
          label={texts.roll}
          icon={<Dices size={16} />}
          onClick={() => onChange(randomSeed())}
        />
        <IconButton
          label={texts.next}
          icon={<Plus size={16} />}
          onClick={() => onChange(stepSeed(seed))}
        />
        <IconButton
          label={texts.last}
          icon={<History size={16} />}
          disabled={lastSeed === null || lastSeed === seed}
          onClick={() => lastSeed !== null && onChange(lastSeed)}
        />
      </div>
      <p id="seed-hint" className={cx("text-xs", error ? "text-bad" : "text-muted")}>
        {error ?? texts.lockedHint}
      </p>
    </>
  );
}
