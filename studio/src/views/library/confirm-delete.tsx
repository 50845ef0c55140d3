import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";

interface Props {
  count: number;
  isOpen: boolean;
  onClose(): void;
  onConfirm(): void;
}

export function ConfirmDelete({ count, isOpen, onClose, onConfirm }: Props) {
  const texts = useMessages().library;
  return (
    <Dialog
      isOpen={isOpen}
      onClose={onClose}
      size="sm"
      title={texts.deleteTitle(count)}
      footer={
        <>
          <Button onClick={onClose}>{texts.keep}</Button>
          <Button
            variant="danger"
            onClick={() => {
              onClose();
              onConfirm();
            }}
          >
            {texts.deleteDo(count)}
          </Button>
        </>
      }
    >
      <p className="text-sm text-muted">{texts.deleteText}</p>
    </Dialog>
  );
}
