import { useState } from "react";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { useDrain } from "./queries";

/** Ask a worker to finish and end, after a second look. */
export function DrainButton({ workerId, isDraining }: { workerId: string; isDraining: boolean }) {
  const messages = useMessages();
  const texts = messages.performance.panels.gpus;
  const [isOpen, setIsOpen] = useState(false);
  const drain = useDrain();
  const close = () => setIsOpen(false);
  return (
    <>
      <Button
        size="sm"
        disabled={isDraining}
        aria-label={`${texts.drain} ${workerId}`}
        onClick={() => setIsOpen(true)}
      >
        {isDraining ? texts.draining : texts.drain}
      </Button>
      <Dialog
        isOpen={isOpen}
        onClose={close}
        title={texts.drainTitle}
        size="sm"
        footer={
          <>
            <Button onClick={close}>{messages.actions.cancel}</Button>
            <Button
              variant="danger"
              isBusy={drain.isPending}
              onClick={() => drain.mutate(workerId, { onSettled: close })}
            >
              {texts.drain}
            </Button>
          </>
        }
      >
        <p className="text-sm text-muted">{texts.drainText(workerId)}</p>
      </Dialog>
    </>
  );
}
