import { useQuery } from "@tanstack/react-query";
import { ArrowDownRight, ArrowUpRight, CircleCheck, Eye } from "lucide-react";
import { moment, percent } from "@/lib/format";
import { useMessages } from "@/messages";
import { Section } from "@/ui/card";
import { cx } from "@/ui/cx";
import { ErrorState, Skeleton } from "@/ui/states";
import { type AlarmLine, alarmLines } from "@/views/performance/alarms/grouping";
import { LinkButton } from "@/views/performance/link-button";
import { alarmsQuery, matrixQuery } from "@/views/performance/queries";
import { trendPath } from "@/views/performance/sections";
import { measureName, stateName, workloadName } from "@/views/performance/words";

/** What has to be looked at, one line a group. */
export function Alarms() {
  const messages = useMessages().performance.alarms;
  const { data, error, refetch } = useQuery(alarmsQuery);
  const { data: matrix } = useQuery(matrixQuery);
  const lines = data ? alarmLines(data.alarms, data.watched, matrix?.rows ?? []) : [];
  if (error && !data) return <ErrorState error={error} onRetry={refetch} />;
  if (!data) return <Skeleton className="h-5" />;
  if (lines.length === 0)
    return (
      <p role="status" className="flex items-start gap-2 px-1 text-[13px] text-muted">
        <CircleCheck size={16} className="mt-0.5 shrink-0 text-good" aria-hidden />
        {messages.none}
      </p>
    );
  return (
    <Section id="alarms" title={messages.title}>
      <ul aria-live="polite" className="-my-1 divide-y divide-line">
        {lines.map((line) => (
          <Line key={`${line.kind}-${line.group}`} line={line} />
        ))}
      </ul>
    </Section>
  );
}

const LOOKS = {
  slower: { Icon: ArrowUpRight, className: "text-bad" },
  faster: { Icon: ArrowDownRight, className: "text-good" },
  watched: { Icon: Eye, className: "text-warn" },
} as const;

function Line({ line }: { line: AlarmLine }) {
  const messages = useMessages();
  const words = messages.performance.alarms;
  const { Icon, className } = LOOKS[line.kind];
  const name = [
    workloadName(line.job_type, line.preset),
    line.state && stateName(line.state, messages).toLowerCase(),
  ]
    .filter(Boolean)
    .join(", ");
  const shifts = line.shifts
    .filter((shift) => shift.share != null)
    .map(({ measure, share }) => {
      const by = percent(share, 1, true);
      return measure ? words.shift(measureName(measure, messages), by) : by;
    });
  return (
    <li className="flex flex-wrap items-center gap-x-3 gap-y-2 py-2.5">
      <Icon size={16} aria-hidden className={cx("shrink-0", className)} />
      <div className="min-w-0 flex-1 basis-40 text-[13px]">
        <p className="font-medium">
          {words[line.kind](name)}
          {line.at && <span className="font-normal text-muted"> {words.at(moment(line.at))}</span>}
        </p>
        <p className="numeric text-muted">
          {shifts.length > 0 ? shifts.join(" · ") : line.texts.join(" · ")}
        </p>
      </div>
      <LinkButton
        href={trendPath({ ...line, measure: line.shifts[0]?.measure ?? undefined })}
        label={words.whyOf(name)}
      >
        {words.why}
      </LinkButton>
    </li>
  );
}
