import { useQuery } from "@tanstack/react-query";
import { Cpu } from "lucide-react";
import { workersQuery } from "@/api/queries";
import { useMessages } from "@/messages";
import { Card } from "@/ui/card";
import { Empty, ErrorState, Loading } from "@/ui/states";
import { lastRunsQuery, modelsQuery } from "./queries";
import { recordOf } from "./samples";
import { WorkerCard } from "./worker-card";

/** A card for each worker: what its device holds and does. */
export default function GpusPanel() {
  const texts = useMessages().performance.panels.gpus;
  const workers = useQuery(workersQuery);
  const models = useQuery(modelsQuery);
  const runs = useQuery(lastRunsQuery);
  if (workers.error && !workers.data)
    return <ErrorState error={workers.error} onRetry={() => void workers.refetch()} />;
  if (!workers.data) return <Loading />;
  if (workers.data.data.length === 0)
    return (
      <Card>
        <Empty icon={<Cpu size={28} />} title={texts.noWorker} text={texts.noWorkerHint} />
      </Card>
    );
  return (
    <div className="flex flex-col gap-4">
      {workers.data.data.map((worker) => (
        <WorkerCard
          key={worker.id}
          worker={worker}
          models={models.data?.data ?? []}
          record={recordOf(worker, workers.data.data, runs.data ?? [])}
        />
      ))}
    </div>
  );
}
