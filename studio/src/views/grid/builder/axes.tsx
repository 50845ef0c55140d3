import { Plus } from "lucide-react";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { Section } from "@/ui/card";
import { AxisEditor } from "@/views/grid/builder/axis-editor";
import type { Axis, Parameter, Value } from "@/views/grid/logic/parameters";
import { drawnSeeds, suggested } from "@/views/grid/logic/values";

interface Props {
  axes: readonly Axis[];
  parameters: readonly Parameter[];
  /** What the base has: axes begin around it. */
  baseValueOf(parameter: Parameter): Value | null;
  onChange(axes: Axis[]): void;
}

const MOST_AXES = 3;
const NUM_SEEDS = 3;

export function Axes({ axes, parameters, baseValueOf, onChange }: Props) {
  const texts = useMessages().grid;
  const isTaken = (name: string) => axes.some((axis) => axis.name === name);
  const free = parameters.filter((parameter) => !isTaken(parameter.name));
  const fresh = (parameter: Parameter): Axis => ({
    name: parameter.name,
    values:
      parameter.name === "seed"
        ? drawnSeeds(NUM_SEEDS)
        : suggested(parameter.legal, baseValueOf(parameter)),
  });
  const put = (place: number, axis: Axis) =>
    onChange(axes.map((each, at) => (at === place ? axis : each)));
  const up = (place: number) => {
    const next = [...axes];
    next.splice(place - 1, 0, ...next.splice(place, 1));
    onChange(next);
  };
  const add = () => {
    const [parameter] = free;
    if (parameter) onChange([...axes, fresh(parameter)]);
  };
  return (
    <Section
      id="axes"
      title={texts.axes}
      text={texts.axesText}
      actions={
        axes.length < MOST_AXES &&
        free.length > 0 && (
          <Button size="sm" icon={<Plus size={15} />} onClick={add}>
            {texts.addAxis}
          </Button>
        )
      }
    >
      <ol className="flex flex-col gap-4">
        {axes.map((axis, place) => {
          const parameter = parameters.find((each) => each.name === axis.name);
          if (!parameter) return null;
          return (
            <AxisEditor
              key={axis.name}
              place={place}
              axis={axis}
              parameter={parameter}
              options={parameters.filter((each) => each === parameter || !isTaken(each.name))}
              onName={(name) => {
                const wished = parameters.find((each) => each.name === name);
                if (wished) put(place, fresh(wished));
              }}
              onChange={(changed) => put(place, changed)}
              onRemove={() => onChange(axes.filter((_, at) => at !== place))}
              onUp={place > 0 ? () => up(place) : null}
            />
          );
        })}
      </ol>
      {axes.length === 0 && <p className="text-sm text-muted">{texts.needsAxes}</p>}
    </Section>
  );
}
