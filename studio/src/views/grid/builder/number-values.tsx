import { Dices } from "lucide-react";
import { useState } from "react";
import { number } from "@/lib/format";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { Field, Input } from "@/ui/field";
import { Chips } from "@/views/grid/builder/chips";
import type { Numbers, Value } from "@/views/grid/logic/parameters";
import {
  drawnSeeds,
  MOST_VALUES,
  type Parsed,
  parseNumbers,
  withValues,
} from "@/views/grid/logic/values";

interface Props {
  axis: string;
  name: string;
  legal: Numbers;
  values: readonly Value[];
  onChange(values: Value[]): void;
}

const NEW_SEEDS = 3;

/** Numbers, written one by one or as a range; only legal ones arrive. */
export function NumberValues({ axis, name, legal, values, onChange }: Props) {
  const texts = useMessages().grid;
  const [text, setText] = useState("");
  const [parsed, setParsed] = useState<Parsed | null>(null);
  const add = () => {
    if (text.trim() === "") return;
    const found = parseNumbers(text, legal);
    setParsed(found);
    if (found.values.length > 0) onChange(withValues(values, found.values));
    if (found.unread.length === 0) setText("");
  };
  const isSeed = axis === "seed";
  const draw = () => onChange(withValues(values, drawnSeeds(NEW_SEEDS)));
  return (
    <div className="flex flex-col gap-2.5">
      <Chips
        label={texts.values(name)}
        values={values}
        onRemove={(value) => onChange(values.filter((each) => each !== value))}
      />
      <Field
        label={texts.numbersLabel(name)}
        hint={<Hint legal={legal} isSeed={isSeed} />}
        error={parsed && parsed.unread.length > 0 ? texts.unread(parsed.unread.join(", ")) : null}
      >
        {(ids) => (
          <div className="flex gap-2">
            <Input
              {...ids}
              value={text}
              placeholder={isSeed ? "" : texts.numbersPlaceholder}
              onChange={(event) => {
                setText(event.target.value);
                setParsed(null);
              }}
              onKeyDown={(event) => {
                if (event.key !== "Enter" || event.ctrlKey || event.metaKey) return;
                event.preventDefault();
                add();
              }}
              onBlur={add}
            />
            <Button onClick={add}>{texts.addValues}</Button>
            {isSeed && (
              <Button icon={<Dices size={16} />} onClick={draw}>
                {texts.seeds}
              </Button>
            )}
          </div>
        )}
      </Field>
      <p role="status" className="text-xs text-muted empty:hidden">
        {parsed && <Notes parsed={parsed} />}
      </p>
    </div>
  );
}

function Hint({ legal, isSeed }: { legal: Numbers; isSeed: boolean }) {
  const texts = useMessages().grid;
  if (isSeed) return null;
  const [min, max] = [plain(legal.min), plain(legal.max)];
  return legal.step > 1
    ? texts.numbersHintStep(min, max, plain(legal.step))
    : texts.numbersHint(min, max);
}

const plain = (value: number): string => number(value, Number.isInteger(value) ? 0 : 1);

function Notes({ parsed }: { parsed: Parsed }) {
  const texts = useMessages().grid;
  const moved = parsed.moved.map(({ from, to }) => texts.movedOne(String(from), String(to)));
  return (
    <>
      {moved.length > 0 && texts.moved(moved.join(", "))} {parsed.isCut && texts.cut(MOST_VALUES)}
    </>
  );
}
