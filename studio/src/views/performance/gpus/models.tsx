import type { Worker } from "@/api/client";
import { bytes } from "@/lib/format";
import { useMessages } from "@/messages";
import { Badge } from "@/ui/badge";
import { Button } from "@/ui/button";
import { type Model, useResidency } from "./queries";

/** The models that jobs of this profile use, and whether this worker holds them. */
export function Models({ worker, models }: { worker: Worker; models: readonly Model[] }) {
  const own = models.filter(
    (model) =>
      model.id in worker.resident ||
      (model.is_active && (worker.models.length === 0 || worker.models.includes(model.id))),
  );
  return (
    <ul>
      {own.map((model) => (
        <ModelRow key={model.id} worker={worker} model={model} />
      ))}
    </ul>
  );
}

function ModelRow({ worker, model }: { worker: Worker; model: Model }) {
  const texts = useMessages().performance.panels.gpus;
  const residency = useResidency();
  const size = worker.resident[model.id];
  const isLoaded = size !== undefined;
  const verb = isLoaded ? "unload" : "load";
  return (
    <li className="flex items-center gap-3 border-b border-line py-2 last:border-0">
      <div className="min-w-0 flex-1">
        <p className="truncate text-[13px] font-medium">{model.id}</p>
        <p className="text-xs text-muted">{texts.roles[model.role as keyof typeof texts.roles]}</p>
      </div>
      {isLoaded ? (
        <Badge tone="accent">{texts.loaded(bytes(size))}</Badge>
      ) : (
        <Badge>{texts.notLoaded}</Badge>
      )}
      <Button
        size="sm"
        isBusy={residency.isPending}
        disabled={worker.state === "starting"}
        aria-label={`${texts.verbs[verb]} ${model.id}`}
        onClick={() => residency.mutate({ verb, model_id: model.id, worker_id: worker.id })}
      >
        {texts.verbs[verb]}
      </Button>
    </li>
  );
}
