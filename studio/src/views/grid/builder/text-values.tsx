import { useState } from "react";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { Field, TextArea } from "@/ui/field";
import { Chips } from "@/views/grid/builder/chips";
import type { Texts, Value } from "@/views/grid/logic/parameters";
import { withValues } from "@/views/grid/logic/values";

interface Props {
  name: string;
  legal: Texts;
  values: readonly Value[];
  onChange(values: Value[]): void;
}

export function TextValues({ name, legal, values, onChange }: Props) {
  const texts = useMessages().grid;
  const [text, setText] = useState("");
  const add = () => {
    if (text.trim() === "") return;
    onChange(withValues(values, [text.trim()]));
    setText("");
  };
  return (
    <div className="flex flex-col gap-2.5">
      <Chips
        label={texts.values(name)}
        values={values}
        onRemove={(value) => onChange(values.filter((each) => each !== value))}
      />
      <Field label={texts.textLabel(name)}>
        {(ids) => (
          <div className="flex items-start gap-2">
            <TextArea
              {...ids}
              rows={2}
              maxLength={legal.maxLength}
              value={text}
              onChange={(event) => setText(event.target.value)}
            />
            <Button onClick={add} disabled={text.trim() === ""}>
              {texts.addValues}
            </Button>
          </div>
        )}
      </Field>
    </div>
  );
}
