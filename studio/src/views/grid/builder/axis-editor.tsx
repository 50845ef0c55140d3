import { ArrowUp, Trash2 } from "lucide-react";
import { useMessages } from "@/messages";
import { IconButton } from "@/ui/button";
import { Select } from "@/ui/field";
import { ChoiceValues } from "@/views/grid/builder/choice-values";
import { parameterName } from "@/views/grid/builder/names";
import { NumberValues } from "@/views/grid/builder/number-values";
import { TextValues } from "@/views/grid/builder/text-values";
import type { Axis, Parameter } from "@/views/grid/logic/parameters";

interface Props {
  place: number;
  axis: Axis;
  parameter: Parameter;
  /** What it may be instead: no other axis has it. */
  options: readonly Parameter[];
  onName(name: string): void;
  onChange(axis: Axis): void;
  onRemove(): void;
  onUp: (() => void) | null;
}

export function AxisEditor(props: Props) {
  const { place, axis, parameter, options, onName, onChange, onRemove, onUp } = props;
  const messages = useMessages();
  const texts = messages.grid;
  const name = parameterName(axis.name, messages);
  const set = (values: Axis["values"]) => onChange({ ...axis, values });
  return (
    <li className="flex flex-col gap-3 border-t border-line pt-4 first:border-0 first:pt-0">
      <div className="flex flex-wrap items-center gap-2">
        <span className="w-16 shrink-0 text-xs text-muted">{texts.roles[Math.min(place, 2)]}</span>
        <Select
          aria-label={texts.parameter(place + 1)}
          className="w-auto! min-w-40 flex-1 sm:flex-none"
          value={axis.name}
          onChange={(event) => onName(event.target.value)}
          options={options.map((each) => ({
            value: each.name,
            label: parameterName(each.name, messages),
          }))}
        />
        <span className="ml-auto flex">
          {onUp && (
            <IconButton
              size="sm"
              label={texts.moveUp(name)}
              icon={<ArrowUp size={15} />}
              onClick={onUp}
            />
          )}
          <IconButton
            size="sm"
            label={texts.removeAxis(name)}
            icon={<Trash2 size={15} />}
            onClick={onRemove}
          />
        </span>
      </div>
      <div className="sm:pl-18">
        <Values axis={axis} name={name} parameter={parameter} onChange={set} />
        {axis.values.length < 2 && (
          <p className="mt-2 text-xs text-muted">
            {axis.values.length === 0 ? texts.noValues : texts.oneValue}
          </p>
        )}
      </div>
    </li>
  );
}

interface ValuesProps {
  axis: Axis;
  name: string;
  parameter: Parameter;
  onChange(values: Axis["values"]): void;
}

function Values({ axis, name, parameter, onChange }: ValuesProps) {
  const { legal } = parameter;
  const shared = { name, values: axis.values, onChange };
  if (legal.kind === "choices")
    return <ChoiceValues {...shared} key={axis.name} axis={axis.name} legal={legal} />;
  if (legal.kind === "numbers")
    return <NumberValues {...shared} key={axis.name} axis={axis.name} legal={legal} />;
  return <TextValues {...shared} key={axis.name} legal={legal} />;
}
