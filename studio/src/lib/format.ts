// Numbers, times and sizes as people read them, in the browser's language.
import { dateFormat, numberFormat, relativeFormat } from "@/lib/intl";

const locale = (): string | undefined => globalThis.document?.documentElement.lang || undefined;

/** 0.84 s, 12.3 s, 2 min 05 s, 1 h 12 min. */
export function duration(seconds: number | null | undefined): string {
  if (seconds == null || !Number.isFinite(seconds)) return "–";
  const sign = seconds < 0 ? "−" : "";
  const s = Math.abs(seconds);
  if (s < 0.0995) return `${sign}${Math.round(s * 1000)} ms`;
  if (s < 9.95) return `${sign}${number(s, s < 0.995 ? 2 : 1)} s`;
  if (s < 59.5) return `${sign}${Math.round(s)} s`;
  const whole = Math.round(s);
  if (whole < 3600)
    return `${sign}${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  const minutes = Math.round(s / 60);
  if (minutes < 48 * 60)
    return `${sign}${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${sign}${number(s / 86400, 1)} d`;
}

/** An interval, with its unit once where both ends share it: 3.1–4.0 s. */
export function interval(low: number | null | undefined, high: number | null | undefined): string {
  if (low == null || high == null) return "–";
  const [a, b] = [duration(low), duration(high)];
  if (a === b) return a;
  const unit = /^([\d.,]+) (ms|s)$/;
  const [left, right] = [unit.exec(a), unit.exec(b)];
  return left && right && left[2] === right[2] ? `${left[1]}–${b}` : `${a} – ${b}`;
}

export function number(value: number | null | undefined, digits = 0): string {
  if (value == null || !Number.isFinite(value)) return "–";
  return numberFormat(locale(), {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(value);
}

/** 0.123 -> 12 %, with a sign where asked for. */
export function percent(share: number | null | undefined, digits = 0, isSigned = false): string {
  if (share == null || !Number.isFinite(share)) return "–";
  const text = number(Math.abs(share) * 100, digits);
  const isZero = Number((Math.abs(share) * 100).toFixed(digits)) === 0;
  const sign = isZero ? "" : share < 0 ? "−" : isSigned ? "+" : "";
  return `${sign}${text} %`;
}

export function bytes(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = Math.abs(value);
  let unit = 0;
  while (size >= 1023.5 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${value < 0 ? "−" : ""}${number(size, unit === 0 || size >= 99.5 ? 0 : 1)} ${units[unit]}`;
}

/** Today's times as 14:05, others with their day. */
export function moment(at: string | number | null | undefined): string {
  if (at == null) return "–";
  const date = new Date(typeof at === "number" ? at * 1000 : at);
  const isToday = date.toDateString() === new Date().toDateString();
  return dateFormat(locale(), {
    ...(isToday ? {} : { day: "numeric", month: "short" }),
    hour: "2-digit",
    minute: "2-digit",
  }).format(date);
}

export function fullMoment(at: string | number | null | undefined): string {
  if (at == null) return "–";
  const date = new Date(typeof at === "number" ? at * 1000 : at);
  return dateFormat(locale(), { dateStyle: "medium", timeStyle: "medium" }).format(date);
}

export function ago(at: string | number | null | undefined, nowMs: number = Date.now()): string {
  if (at == null) return "–";
  const seconds = (nowMs - (typeof at === "number" ? at * 1000 : Date.parse(at))) / 1000;
  const relative = relativeFormat(locale(), { numeric: "auto", style: "short" });
  if (seconds < 45) return relative.format(0, "second");
  if (seconds < 2700) return relative.format(-Math.round(seconds / 60), "minute");
  if (seconds < 79200) return relative.format(-Math.round(seconds / 3600), "hour");
  return relative.format(-Math.round(seconds / 86400), "day");
}

/** video_fast -> Video fast; names of the catalogue as headings. */
export function title(name: string): string {
  const words = name
    .replaceAll("_", " ")
    .replace(/\bsdxl\b/i, "SDXL")
    .replace(/\bimage7b\b/i, "Image")
    .replace(/\bvideo7b\b/i, "Video");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
