import { ArrowDownRight, ArrowRight, ArrowUpRight, Minus } from "lucide-react";
import { Link } from "wouter";
import { number, percent, title } from "@/lib/format";
import { useMessages } from "@/messages";
import { Badge, type Tone } from "@/ui/badge";
import { cx } from "@/ui/cx";
import { LinkButton } from "@/views/performance/link-button";
import type { MatrixRow } from "@/views/performance/queries";
import { ROOT, trendPath } from "@/views/performance/sections";
import { exact, exactInterval, settingsText, workloadName } from "@/views/performance/words";

const STATUS_TONES: Record<MatrixRow["status"], Tone> = {
  pending: "neutral",
  in_progress: "warn",
  established: "accent",
  optimised: "good",
};

export function StatusCell({ row }: { row: MatrixRow }) {
  const messages = useMessages().performance.matrix;
  return (
    <span title={messages.statusHints[row.status]}>
      <Badge tone={STATUS_TONES[row.status]}>{messages.status[row.status]}</Badge>
    </span>
  );
}

export function NameCell({ row }: { row: MatrixRow }) {
  const messages = useMessages();
  const settings = settingsText(row.settings, messages);
  return (
    <span className="block min-w-0">
      <span className="block font-medium">{workloadName(row.job_type, row.preset)}</span>
      {settings && <span className="block text-xs text-muted">{settings}</span>}
    </span>
  );
}

export function RealCell({ row }: { row: MatrixRow }) {
  if (row.real_s == null) return <Nothing />;
  return (
    <span className="block">
      <span className="block font-medium">{exact(row.real_s)}</span>
      {row.interval && (
        <span className="block text-xs text-muted">
          {exactInterval(row.interval.low, row.interval.high)}
        </span>
      )}
    </span>
  );
}

const FULL = 0.5; // a deviation of half the expected time fills its side

/** What is expected, how far off the median is: a number and a quiet bar from the middle. */
export function ExpectedCell({ row }: { row: MatrixRow }) {
  const messages = useMessages().performance.matrix;
  if (row.expected_s == null) return <Nothing />;
  const share = row.variance ?? 0;
  const width = Math.min(1, Math.abs(share) / FULL) * 50;
  const text = percent(row.variance, 0, true);
  return (
    <span className="block" title={messages.deviation(text)}>
      <span className="flex items-baseline justify-end gap-1.5">
        <span>{exact(row.expected_s)}</span>
        <span className={cx("text-xs", deviationTone(share))}>{text}</span>
      </span>
      <span aria-hidden className="relative mt-1 ml-auto block h-1 w-24 rounded-full bg-sunken">
        <span className="absolute inset-y-[-2px] left-1/2 w-px bg-line-strong" />
        <span
          className={cx(
            "absolute inset-y-0 rounded-full",
            share > 0.1 ? "bg-bad" : share < -0.1 ? "bg-good" : "bg-line-strong",
          )}
          style={
            share > 0 ? { left: "50%", width: `${width}%` } : { right: "50%", width: `${width}%` }
          }
        />
      </span>
    </span>
  );
}

const deviationTone = (share: number): string =>
  share > 0.1 ? "text-bad" : share < -0.1 ? "text-good" : "text-muted";

export function QualityCell({ row }: { row: MatrixRow }) {
  const messages = useMessages().performance.matrix;
  if (row.quality == null) return <Nothing />;
  const text = number(row.quality, 1);
  return (
    <span role="img" aria-label={messages.stars(text)}>
      {text} <span aria-hidden>★</span>
    </span>
  );
}

const TRENDS = {
  slower: { Icon: ArrowUpRight, className: "text-bad" },
  faster: { Icon: ArrowDownRight, className: "text-good" },
  stable: { Icon: ArrowRight, className: "text-muted" },
  unknown: { Icon: Minus, className: "text-faint" },
} as const;

/** An arrow with its word; it leads to the history. */
export function TrendCell({ row }: { row: MatrixRow }) {
  const messages = useMessages().performance.matrix;
  const known = (row.trend in TRENDS ? row.trend : "unknown") as keyof typeof TRENDS;
  const { Icon, className } = TRENDS[known];
  const body = (
    <>
      <Icon size={14} aria-hidden className="shrink-0" />
      {messages.trends[known]}
      {row.trend_shift != null && (
        <span className="numeric">{percent(row.trend_shift, 0, true)}</span>
      )}
    </>
  );
  const look = cx("inline-flex min-h-6 items-center gap-1 whitespace-nowrap", className);
  if (known === "unknown" || !row.series) return <span className={look}>{body}</span>;
  return (
    <Link
      href={trendPath({ ...row, change: row.change })}
      className={cx(look, "underline-offset-2 hover:underline")}
    >
      {body}
    </Link>
  );
}

/** Where no run counts yet: how to get some. */
export function BenchmarkLink({ row }: { row: MatrixRow }) {
  const messages = useMessages().performance.matrix;
  return (
    <LinkButton
      href={`${ROOT}/protocol?job_type=${encodeURIComponent(row.job_type)}`}
      label={messages.benchmarkOf(title(row.job_type))}
    >
      {messages.benchmark}
    </LinkButton>
  );
}

export function Nothing() {
  return <span className="text-faint">–</span>;
}
