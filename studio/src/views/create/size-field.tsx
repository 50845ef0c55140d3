import { ArrowLeftRight } from "lucide-react";
import { useMessages } from "@/messages";
import { IconButton } from "@/ui/button";
import { Chip, Chips, LegalNumber, ResetButton } from "@/views/create/fields";
import { useFieldValue } from "@/views/create/form";
import type { NumericField } from "@/views/create/schema";
import { useProblem } from "@/views/create/service";
import { isSame, type Size, sizeOptions } from "@/views/create/sizes";

interface Props {
  width: NumericField;
  height: NumericField;
}

/** Width and height as one: usual shapes of about as many pixels, or any legal numbers. */
export function SizeField({ width, height }: Props) {
  const { parameters, create } = useMessages();
  const { settings } = create;
  const [x, y] = [useFieldValue<number>("width"), useFieldValue<number>("height")];
  const errors = [useProblem("width"), useProblem("height")];
  const error = errors.find((each) => each !== undefined);
  const size: Size = { width: x.value ?? width.min, height: y.value ?? height.min };
  const base: Size = { width: x.original ?? size.width, height: y.original ?? size.height };
  const take = (next: Size) => {
    x.set(next.width);
    y.set(next.height);
  };
  return (
    <fieldset className="flex min-w-0 flex-col gap-2">
      <legend className="sr-only">{parameters.size}</legend>
      <div className="flex items-baseline justify-between gap-3">
        <span aria-hidden className="text-[13px] font-medium">
          {parameters.size}
        </span>
        {!isSame(size, base) && (
          <ResetButton
            name={parameters.size}
            value={settings.size(base.width, base.height)}
            onReset={() => take(base)}
          />
        )}
      </div>
      <Chips label={settings.shapes}>
        {sizeOptions(base, width, height).map((option) => (
          <Chip
            key={`${option.width}x${option.height}`}
            isOn={isSame(option, size)}
            title={settings.size(option.width, option.height)}
            onPress={() => take(option)}
          >
            <Shape size={option} />
            {option.shape ?? settings.ownShape}
          </Chip>
        ))}
      </Chips>
      <div className="flex items-center gap-1.5">
        <div className="min-w-0 flex-1">
          <LegalNumber
            label={parameters.width}
            field={width}
            value={size.width}
            onChange={x.set}
            aria-invalid={errors[0] ? true : undefined}
            aria-describedby={error ? "size-error" : undefined}
          />
        </div>
        <IconButton
          size="sm"
          label={settings.swap}
          icon={<ArrowLeftRight size={15} />}
          onClick={() => take({ width: size.height, height: size.width })}
        />
        <div className="min-w-0 flex-1">
          <LegalNumber
            label={parameters.height}
            field={height}
            value={size.height}
            onChange={y.set}
            aria-invalid={errors[1] ? true : undefined}
            aria-describedby={error ? "size-error" : undefined}
          />
        </div>
      </div>
      {error && (
        <p id="size-error" className="text-xs text-bad">
          {error}
        </p>
      )}
    </fieldset>
  );
}

const LONGEST_PX = 12;

function Shape({ size }: { size: Size }) {
  const scale = LONGEST_PX / Math.max(size.width, size.height);
  return (
    <span
      aria-hidden
      className="rounded-[2px] border border-current"
      style={{ width: size.width * scale, height: size.height * scale }}
    />
  );
}
