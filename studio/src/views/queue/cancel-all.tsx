import { useState } from "react";
import type { Job } from "@/api/client";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { useCancelAll } from "@/views/queue/queries";

export function CancelAll({ waiting }: { waiting: readonly Job[] }) {
  const texts = useMessages().queue;
  const [isOpen, setIsOpen] = useState(false);
  const cancel = useCancelAll();
  const confirm = () => {
    setIsOpen(false);
    cancel.mutate(waiting);
  };
  return (
    <>
      <Button size="sm" variant="danger" isBusy={cancel.isPending} onClick={() => setIsOpen(true)}>
        {texts.cancelAll}
      </Button>
      <Dialog
        isOpen={isOpen}
        onClose={() => setIsOpen(false)}
        size="sm"
        title={texts.cancelAllTitle}
        footer={
          <>
            <Button onClick={() => setIsOpen(false)}>{texts.keep}</Button>
            <Button variant="danger" onClick={confirm}>
              {texts.cancelAllDo(waiting.length)}
            </Button>
          </>
        }
      >
        <p className="text-sm text-muted">{texts.cancelAllText(waiting.length)}</p>
      </Dialog>
    </>
  );
}
