import { Link } from "wouter";
import type { Worker } from "@/api/client";
import { ago, bytes, fullMoment, number, percent } from "@/lib/format";
import { useMessages } from "@/messages";
import { Stat } from "@/ui/card";
import { isCpu } from "./memory";
import type { JobRecord } from "./queries";
import { deviceMeasures, hostMeasures, liveMeasures, type Measured } from "./samples";

type Unit = (value: number | null) => string;

const UNITS: Record<string, Unit> = {
  utilisation: (value) => percent(value),
  memory: bytes,
  clock: (value) => `${number(value)} MHz`,
  power: (value) => `${number(value)} W`,
  temperature: (value) => `${number(value)} °C`,
  cores: (value) => number(value, 2),
  resident: bytes,
};

/** What the GPU does now; it changes with the worker's beats. */
export function Live({ gpu, seenAt }: { gpu: NonNullable<Worker["gpu"]>; seenAt: string }) {
  const texts = useMessages().performance.panels.gpus;
  const measured = liveMeasures(gpu);
  if (measured.length === 0) return null;
  return (
    <div>
      <h3 className="text-[13px] font-medium" title={fullMoment(seenAt)}>
        {texts.now}
      </h3>
      <dl className="mt-3 grid grid-cols-2 gap-4 sm:grid-cols-4">
        {measured.map((each) => (
          <MeasuredStat key={each.key} measured={each} />
        ))}
      </dl>
    </div>
  );
}

/** What device and process did while the last job ran; plainly, what nobody measures here. */
export function Measures({ device, record }: { device: string; record: JobRecord | undefined }) {
  const texts = useMessages().performance.panels.gpus;
  const measured = record ? [...deviceMeasures(record), ...hostMeasures(record)] : [];
  const throttled = record?.device.throttled_share;
  return (
    <div>
      <h3 className="text-[13px] font-medium">{texts.measured}</h3>
      {record && measured.length > 0 && (
        <>
          <p className="mt-0.5 text-xs text-muted">
            {texts.during}{" "}
            <Link
              href={`/performance/jobs/${record.id}`}
              className="text-accent-ink underline underline-offset-2"
            >
              {texts.lastJob(ago(record.at))}
            </Link>
          </p>
          <dl className="mt-3 grid grid-cols-2 gap-4 sm:grid-cols-3">
            {measured.map((each) => (
              <MeasuredStat key={each.key} measured={each} />
            ))}
            {throttled !== undefined && (
              <Stat name={texts.throttled} value={percent(throttled)} detail={texts.ofSamples} />
            )}
          </dl>
        </>
      )}
      {!record && <p className="mt-1 text-[13px] text-muted">{texts.nothingYet}</p>}
      {isCpu(device) && <p className="mt-3 text-[13px] text-muted">{texts.cpuOnly}</p>}
    </div>
  );
}

function MeasuredStat({ measured }: { measured: Measured }) {
  const texts = useMessages().performance.panels.gpus;
  const unit = UNITS[measured.key] ?? ((value) => number(value, 1));
  return (
    <Stat
      name={texts.measures[measured.key as keyof typeof texts.measures]}
      value={unit(measured.mean)}
      detail={measured.max === null ? undefined : texts.upTo(unit(measured.max))}
    />
  );
}
