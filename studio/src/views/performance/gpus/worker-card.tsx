import { Link } from "wouter";
import type { Worker } from "@/api/client";
import { ago, fullMoment, title } from "@/lib/format";
import { useMessages } from "@/messages";
import { Badge, type Tone } from "@/ui/badge";
import { Section } from "@/ui/card";
import { Components } from "./components";
import { DrainButton } from "./drain";
import { Live, Measures } from "./measures";
import { deviceName, gpuFacts } from "./memory";
import { MemoryBar } from "./memory-bar";
import { Models } from "./models";
import type { JobRecord, Model } from "./queries";

const TONES: Record<string, Tone> = { idle: "good", busy: "accent", draining: "warn" };

interface Props {
  worker: Worker;
  models: readonly Model[];
  record: JobRecord | undefined;
}

/** One worker: its device, what is on it, and what it does. */
export function WorkerCard({ worker, models, record }: Props) {
  const texts = useMessages().performance.panels.gpus;
  const driver = gpuFacts(worker.facts)[0]?.driver;
  return (
    <Section
      id={`worker-${worker.id}`}
      title={
        <span className="flex flex-wrap items-center gap-2">
          {deviceName(worker.device, worker.facts)}
          <Badge tone={TONES[worker.state] ?? "neutral"}>
            {texts.states[worker.state as keyof typeof texts.states] ?? title(worker.state)}
          </Badge>
        </span>
      }
      text={
        <span className="flex flex-wrap gap-x-3">
          <span>{texts.on(worker.device, worker.host)}</span>
          <span>{worker.id}</span>
          {driver && <span>{texts.driver(driver)}</span>}
          <span title={fullMoment(worker.started_at)}>{texts.started(ago(worker.started_at))}</span>
        </span>
      }
      actions={<DrainButton workerId={worker.id} isDraining={worker.state === "draining"} />}
    >
      <div className="grid grid-cols-1 gap-x-8 gap-y-6 lg:grid-cols-2">
        <div className="flex min-w-0 flex-col gap-6">
          <Running jobs={worker.jobs} />
          {worker.memory ? (
            <MemoryBar memory={worker.memory} />
          ) : (
            <p className="text-[13px] text-muted">{texts.memoryUntold}</p>
          )}
          {worker.gpu && <Live gpu={worker.gpu} seenAt={worker.seen_at} />}
          <Measures device={worker.device} record={record} />
        </div>
        <div className="flex min-w-0 flex-col gap-6">
          <div>
            <h3 className="text-[13px] font-medium">{texts.models}</h3>
            <Models worker={worker} models={models} />
          </div>
          <div>
            <h3 className="mb-1 text-[13px] font-medium">{texts.components}</h3>
            {worker.memory && worker.memory.components.length > 0 ? (
              <Components components={worker.memory.components} />
            ) : (
              <p className="text-[13px] text-muted">{texts.noComponents}</p>
            )}
          </div>
        </div>
      </div>
    </Section>
  );
}

function Running({ jobs }: { jobs: readonly string[] }) {
  const texts = useMessages().performance.panels.gpus;
  return (
    <div>
      <h3 className="text-[13px] font-medium">{texts.runs}</h3>
      {jobs.length === 0 ? (
        <p className="text-[13px] text-muted">{texts.nothing}</p>
      ) : (
        <ul className="mt-1 flex flex-col">
          {jobs.map((id) => (
            <li key={id}>
              <Link
                href={`/performance/jobs/${id}`}
                className="inline-flex min-h-6 items-center text-[13px] break-all text-accent-ink underline underline-offset-2"
              >
                {id}
              </Link>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
