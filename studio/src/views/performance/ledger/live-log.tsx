import { Copy, Download } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { copyText } from "@/lib/clipboard";
import { saveText } from "@/lib/export";
import { useMessages } from "@/messages";
import { Button, IconButton } from "@/ui/button";
import { Section } from "@/ui/card";
import { cx } from "@/ui/cx";
import { Segmented } from "@/ui/tabs";
import { useToasts } from "@/ui/toast";
import { asText, type Level, type LogLine } from "./log-lines";
import { type LogKind, useLog } from "./use-log";

const COLOURS: Record<Level, string> = {
  info: "text-muted",
  warning: "text-warn",
  error: "text-bad",
};

/** What is logged about a job, as it happens. */
export function LiveLog({ jobId, isOver }: { jobId: string; isOver: boolean }) {
  const messages = useMessages();
  const texts = messages.performance.panels.ledger;
  const [kind, setKind] = useState<LogKind>("events");
  const [isFollowing, setIsFollowing] = useState(true);
  const { lines, state } = useLog(jobId, kind, isOver);
  const { show } = useToasts();
  const copy = async () => {
    if (await copyText(asText(lines))) show({ tone: "good", text: messages.actions.copied });
    else show({ tone: "bad", text: messages.actions.notCopied });
  };
  return (
    <Section
      id="logs"
      title={texts.logs}
      text={isOver ? texts.logsOver : texts.logsLive}
      actions={
        <>
          <Segmented<LogKind>
            value={kind}
            onChange={setKind}
            label={texts.logKind}
            options={[
              { value: "events", label: texts.logKinds.events },
              { value: "logs", label: texts.logKinds.logs },
            ]}
          />
          <Button
            size="sm"
            aria-pressed={isFollowing}
            className={isFollowing ? "bg-accent-soft! text-accent-ink!" : undefined}
            onClick={() => setIsFollowing(!isFollowing)}
          >
            {texts.follow}
          </Button>
          <IconButton
            size="sm"
            label={texts.copyLog}
            icon={<Copy size={15} />}
            disabled={lines.length === 0}
            onClick={() => void copy()}
          />
          <IconButton
            size="sm"
            label={texts.saveLog}
            icon={<Download size={15} />}
            disabled={lines.length === 0}
            onClick={() => saveText(`${jobId}.log`, `${asText(lines)}\n`, "text/plain")}
          />
        </>
      }
    >
      <Lines
        lines={lines}
        isFollowing={isFollowing}
        onLeave={() => setIsFollowing(false)}
        empty={state === "connecting" && !isOver ? texts.logWaits : texts.logEmpty}
      />
    </Section>
  );
}

const clock = new Intl.DateTimeFormat(document.documentElement.lang || undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});

interface LinesProps {
  lines: readonly LogLine[];
  isFollowing: boolean;
  /** Somebody scrolled up to read. */
  onLeave(): void;
  empty: string;
}

function Lines({ lines, isFollowing, onLeave, empty }: LinesProps) {
  const texts = useMessages().performance.panels.ledger;
  const box = useRef<HTMLDivElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: each new line moves the view
  useEffect(() => {
    if (isFollowing && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [isFollowing, lines]);
  return (
    <div
      ref={box}
      role="log"
      aria-label={texts.logs}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
      tabIndex={0}
      onWheel={(event) => event.deltaY < 0 && onLeave()}
      className="max-h-80 min-h-24 overflow-auto rounded-xl border border-line bg-sunken p-3 font-mono text-xs leading-5"
    >
      {lines.length === 0 && <p className="text-muted">{empty}</p>}
      {lines.map((line) => (
        <p key={line.seq} className="flex gap-3">
          <time dateTime={line.at} className="numeric shrink-0 text-muted">
            {clock.format(new Date(line.at))}
          </time>
          <span className={cx("w-20 shrink-0 truncate", COLOURS[line.level])}>{line.kind}</span>
          <span className={cx("min-w-0 break-words", line.level === "error" && "text-bad")}>
            {line.text}
          </span>
        </p>
      ))}
    </div>
  );
}
