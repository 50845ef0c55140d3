import { Minus, Plus } from "lucide-react";
import {
  type InputHTMLAttributes,
  type ReactNode,
  type SelectHTMLAttributes,
  type TextareaHTMLAttributes,
  useEffect,
  useId,
  useState,
} from "react";
import { cx } from "@/ui/cx";

interface FieldProps {
  label: ReactNode;
  hint?: ReactNode;
  error?: ReactNode;
  aside?: ReactNode;
  className?: string;
  children(ids: { id: string; "aria-describedby"?: string; "aria-invalid"?: boolean }): ReactNode;
}

/** A labelled control with its hint and its error, tied together for screen readers. */
export function Field({ label, hint, error, aside, className, children }: FieldProps) {
  const id = useId();
  const described = error || hint ? `${id}-hint` : undefined;
  return (
    <div className={cx("flex min-w-0 flex-col gap-1.5", className)}>
      <div className="flex items-baseline justify-between gap-3">
        <label htmlFor={id} className="text-[13px] font-medium text-ink">
          {label}
        </label>
        {aside && <span className="text-xs text-muted">{aside}</span>}
      </div>
      {children({ id, "aria-describedby": described, "aria-invalid": error ? true : undefined })}
      {described && (
        <p id={described} className={cx("text-xs", error ? "text-bad" : "text-muted")}>
          {error || hint}
        </p>
      )}
    </div>
  );
}

export const CONTROL =
  "w-full rounded-lg border border-line bg-surface px-3 text-sm text-ink placeholder:text-faint hover:border-line-strong aria-invalid:border-bad disabled:opacity-60";

export function Input(props: InputHTMLAttributes<HTMLInputElement>) {
  return <input {...props} className={cx(CONTROL, "h-9", props.className)} />;
}

export function TextArea(props: TextareaHTMLAttributes<HTMLTextAreaElement>) {
  return (
    <textarea
      {...props}
      className={cx(CONTROL, "resize-y py-2.5 leading-relaxed", props.className)}
    />
  );
}

interface SelectProps extends SelectHTMLAttributes<HTMLSelectElement> {
  options: readonly { value: string; label: string; isDisabled?: boolean }[];
}

/** The browser's own list: right on phones, with keyboards and for screen readers. */
export function Select({ options, className, ...props }: SelectProps) {
  return (
    <select {...props} className={cx(CONTROL, "h-9 pr-8", className)}>
      {options.map(({ value, label, isDisabled }) => (
        <option key={value} value={value} disabled={isDisabled}>
          {label}
        </option>
      ))}
    </select>
  );
}

interface NumberProps {
  value: number;
  onChange(value: number): void;
  min?: number;
  max?: number;
  step?: number;
  /** Only whole numbers, also when typed. */
  isWhole?: boolean;
  id?: string;
  label: string;
  isDisabled?: boolean;
  "aria-describedby"?: string;
  "aria-invalid"?: boolean;
}

/** A number with steps: what is typed is checked when the field is left, never while typing. */
export function NumberField(props: NumberProps) {
  const {
    value,
    onChange,
    min = -Infinity,
    max = Infinity,
    step = 1,
    isWhole,
    id,
    label,
    isDisabled,
  } = props;
  const [text, setText] = useState(String(value));
  useEffect(() => setText(String(value)), [value]);
  const digits = (String(step).split(".")[1] ?? "").length;
  const legal = (wish: number) =>
    Number(Math.min(max, Math.max(min, wish)).toFixed(isWhole ? 0 : Math.max(digits, 6)));
  const leave = () => {
    const wish = Number(text);
    if (text.trim() === "" || !Number.isFinite(wish)) setText(String(value));
    else {
      const next = legal(wish);
      setText(String(next));
      if (next !== value) onChange(next);
    }
  };
  const by = (steps: number) => onChange(legal(Number((value + steps * step).toFixed(digits))));
  const side =
    "grid w-8 shrink-0 place-items-center text-muted hover:text-ink hover:bg-sunken disabled:opacity-40";
  return (
    <div className="flex h-9 overflow-hidden rounded-lg border border-line bg-surface hover:border-line-strong has-aria-invalid:border-bad">
      <button
        type="button"
        tabIndex={-1}
        aria-hidden
        className={side}
        disabled={isDisabled || value <= min}
        onClick={() => by(-1)}
      >
        <Minus size={14} />
      </button>
      <input
        id={id}
        aria-label={id ? undefined : label}
        aria-describedby={props["aria-describedby"]}
        aria-invalid={props["aria-invalid"]}
        inputMode={digits > 0 || step < 1 ? "decimal" : "numeric"}
        role="spinbutton"
        aria-valuenow={value}
        aria-valuemin={Number.isFinite(min) ? min : undefined}
        aria-valuemax={Number.isFinite(max) ? max : undefined}
        disabled={isDisabled}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onBlur={leave}
        onKeyDown={(event) => {
          if (event.key === "Enter") leave();
          else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
            event.preventDefault();
            by(event.key === "ArrowUp" ? 1 : -1);
          }
        }}
        className="numeric w-full min-w-0 bg-transparent text-center text-sm focus-visible:outline-offset-[-2px]"
      />
      <button
        type="button"
        tabIndex={-1}
        aria-hidden
        className={side}
        disabled={isDisabled || value >= max}
        onClick={() => by(1)}
      >
        <Plus size={14} />
      </button>
    </div>
  );
}

interface SwitchProps {
  isOn: boolean;
  onChange(isOn: boolean): void;
  label: ReactNode;
  hint?: ReactNode;
  isDisabled?: boolean;
}

export function Switch({ isOn, onChange, label, hint, isDisabled }: SwitchProps) {
  const id = useId();
  return (
    <div className="flex items-start justify-between gap-4">
      <div className="min-w-0">
        <span id={id} className="text-[13px] font-medium">
          {label}
        </span>
        {hint && <p className="text-xs text-muted">{hint}</p>}
      </div>
      <button
        type="button"
        role="switch"
        aria-checked={isOn}
        aria-labelledby={id}
        disabled={isDisabled}
        onClick={() => onChange(!isOn)}
        className={cx(
          "relative mt-0.5 h-6 w-10 shrink-0 rounded-full border transition-colors disabled:opacity-50",
          isOn ? "border-accent bg-accent" : "border-line-strong bg-sunken",
        )}
      >
        <span
          className={cx(
            "absolute top-1/2 size-4 -translate-y-1/2 rounded-full transition-all",
            isOn ? "left-5 bg-on-accent" : "left-1 bg-line-strong",
          )}
        />
      </button>
    </div>
  );
}
