import { ArrowRightLeft, Ban, Columns2, Download, Palette, RotateCcw } from "lucide-react";
import { useState } from "react";
import { useLocation } from "wouter";
import { useCancel, useRetry } from "@/api/actions";
import type { Job } from "@/api/client";
import { saveText, toCsv } from "@/lib/export";
import { useMessages } from "@/messages";
import { compareUrl, useComparison } from "@/stores/comparison";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { Select } from "@/ui/field";
import type { Axis } from "@/views/grid/logic/parameters";
import { csvColumns } from "@/views/grid/matrix/csv";
import type { MatrixState } from "@/views/grid/matrix/use-matrix-state";

interface Props {
  jobs: readonly Job[];
  axes: readonly Axis[];
  state: MatrixState;
  chosen: readonly string[];
  canSwap: boolean;
  hasTimes: boolean;
  numFiles: number;
}

export function Toolbar({ jobs, axes, state, chosen, canSwap, hasTimes, numFiles }: Props) {
  const messages = useMessages();
  const texts = messages.grid;
  return (
    <div className="flex flex-wrap items-center gap-2">
      {canSwap && (
        <Button
          size="sm"
          icon={<ArrowRightLeft size={15} />}
          aria-pressed={state.isSwapped}
          onClick={() => state.set({ isSwapped: !state.isSwapped })}
        >
          {texts.swap}
        </Button>
      )}
      <Button
        size="sm"
        icon={<Palette size={15} className={state.hasColours ? "text-accent-ink" : undefined} />}
        aria-pressed={state.hasColours}
        disabled={!hasTimes}
        title={texts.coloursHint}
        onClick={() => state.set({ hasColours: !state.hasColours })}
      >
        {texts.colours}
      </Button>
      {numFiles > 1 && (
        <Select
          aria-label={texts.image}
          className="h-8! w-auto! text-[13px]"
          value={String(Math.min(state.image, numFiles - 1))}
          onChange={(event) => state.set({ image: Number(event.target.value) })}
          options={Array.from({ length: numFiles }, (_, at) => ({
            value: String(at),
            label: texts.imageOf(at + 1, numFiles),
          }))}
        />
      )}
      <Button
        size="sm"
        icon={<Download size={15} />}
        onClick={() => saveText("grid.csv", toCsv(csvColumns(axes, messages), jobs), "text/csv")}
      >
        {texts.exportCsv}
      </Button>
      <RetryFailed jobs={jobs} />
      <CancelRest jobs={jobs} />
      <CompareChosen
        chosen={chosen}
        canChoose={jobs.filter((job) => job.state === "succeeded").length > 1}
      />
    </div>
  );
}

function RetryFailed({ jobs }: { jobs: readonly Job[] }) {
  const texts = useMessages().grid;
  const retry = useRetry();
  const failed = jobs.filter((job) => job.state === "failed");
  if (failed.length < 2) return null;
  return (
    <Button
      size="sm"
      icon={<RotateCcw size={15} />}
      onClick={() => {
        for (const job of failed) retry.mutate({ job });
      }}
    >
      {texts.retryFailed}
    </Button>
  );
}

function CancelRest({ jobs }: { jobs: readonly Job[] }) {
  const texts = useMessages().grid;
  const cancel = useCancel();
  const [isAsking, setIsAsking] = useState(false);
  const open = jobs.filter(
    (job) => (job.state === "queued" || job.state === "running") && !job.is_cancel_requested,
  );
  const close = () => setIsAsking(false);
  return (
    <>
      {open.length > 0 && (
        <Button
          size="sm"
          variant="danger"
          icon={<Ban size={15} />}
          onClick={() => setIsAsking(true)}
        >
          {texts.cancelRest}
        </Button>
      )}
      <Dialog
        isOpen={isAsking}
        onClose={close}
        title={texts.cancelTitle}
        size="sm"
        footer={
          <>
            <Button onClick={close}>{texts.keep}</Button>
            <Button
              variant="danger"
              onClick={() => {
                // The last first, so that no worker takes up one that is about to be cancelled.
                for (const job of open.toReversed()) cancel.mutate({ job });
                close();
              }}
            >
              {texts.cancelRest}
            </Button>
          </>
        }
      >
        <p className="text-sm text-muted">{texts.cancelText(open.length)}</p>
      </Dialog>
    </>
  );
}

function CompareChosen({ chosen, canChoose }: { chosen: readonly string[]; canChoose: boolean }) {
  const texts = useMessages().grid;
  const [, navigate] = useLocation();
  const { set } = useComparison();
  return (
    <span className="ml-auto flex items-center gap-3 text-[13px] text-muted" aria-live="polite">
      {chosen.length < 2 ? (
        canChoose && texts.compareHint
      ) : (
        <Button
          size="sm"
          variant="primary"
          icon={<Columns2 size={15} />}
          onClick={() => {
            set([...chosen]);
            navigate(compareUrl(chosen));
          }}
        >
          {texts.compare(chosen.length)}
        </Button>
      )}
    </span>
  );
}
