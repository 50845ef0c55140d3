import { ChevronDown } from "lucide-react";
import { useMemo } from "react";
import { useMessages } from "@/messages";
import { useDraft } from "@/stores/draft";
import { Badge } from "@/ui/badge";
import { Button } from "@/ui/button";
import { Section } from "@/ui/card";
import { cx } from "@/ui/cx";
import { SchemaField } from "@/views/create/fields";
import { useChanges, useForm, useReplace } from "@/views/create/form";
import { useMemory } from "@/views/create/memory";
import { type Field, fieldsOf, numericField } from "@/views/create/schema";
import { SeedField } from "@/views/create/seed";
import { useFormProblem } from "@/views/create/service";
import { SizeField } from "@/views/create/size-field";

/** What the job type takes, as its schema says, with what differs from the preset marked. */
export function Settings() {
  const { create } = useMessages();
  const { type } = useForm();
  const fields = useMemo(() => fieldsOf(type), [type]);
  const width = numericField(type, "width");
  const height = numericField(type, "height");
  const others = fields.filter((each) => each.name !== "width" && each.name !== "height");
  const advanced = others.filter((each) => each.isAdvanced);
  return (
    <Section id="settings" title={create.settings.title} actions={<Changes />}>
      <div className="flex flex-col gap-5">
        {width && height && <SizeField width={width} height={height} />}
        {others
          .filter((each) => !each.isAdvanced)
          .map((field) => (
            <SchemaField key={field.name} field={field} />
          ))}
        <SeedField />
      </div>
      {advanced.length > 0 && <Advanced fields={advanced} />}
    </Section>
  );
}

function Changes() {
  const { settings } = useMessages().create;
  const count = Object.keys(useChanges()).length;
  const replace = useReplace();
  if (count === 0) return null;
  return (
    <span className="-my-1 flex items-center gap-1">
      <Badge tone="accent">{settings.changed(count)}</Badge>
      <Button
        size="sm"
        variant="ghost"
        className="-mr-2"
        onClick={() => replace({ ...useDraft.getState().draft, values: {} }, settings.resetDone)}
      >
        {settings.resetAll}
      </Button>
    </span>
  );
}

function Advanced({ fields }: { fields: Field[] }) {
  const { settings } = useMessages().create;
  const { isAdvanced, set } = useMemory();
  const changes = useChanges();
  const numChanged = fields.filter((field) => changes[field.name] !== undefined).length;
  const problems = useProblemIn(fields);
  const isOpen = isAdvanced || problems;
  return (
    <div className={cx("mt-5 border-t border-line pt-1", !isOpen && "-mb-3")}>
      <button
        type="button"
        aria-expanded={isOpen}
        aria-controls="advanced"
        onClick={() => set({ isAdvanced: !isAdvanced })}
        className="flex h-11 w-full items-center gap-2 text-left text-[13px] font-medium"
      >
        {settings.advanced}
        {numChanged > 0 && !isOpen && <Badge tone="accent">{settings.changed(numChanged)}</Badge>}
        <ChevronDown
          size={16}
          aria-hidden
          className={cx("ml-auto text-muted transition-transform", isOpen && "rotate-180")}
        />
      </button>
      <div id="advanced" hidden={!isOpen} className="pt-2">
        {isOpen && (
          <div className="flex flex-col gap-5">
            {fields.map((field) => (
              <SchemaField key={field.name} field={field} />
            ))}
          </div>
        )}
      </div>
    </div>
  );
}

/** What is wrong must be seen: it opens what hides it. */
function useProblemIn(fields: readonly Field[]): boolean {
  const problem = useFormProblem();
  return fields.some((field) => field.name === problem?.param);
}
