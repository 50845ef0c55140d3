import { Scan, ZoomIn, ZoomOut } from "lucide-react";
import { percent } from "@/lib/format";
import { useShortcut } from "@/lib/shortcuts";
import { useMessages } from "@/messages";
import { IconButton } from "@/ui/button";
import type { Zooming } from "@/views/compare/stage/use-viewport";

const PAN = 0.1;

export function ZoomButtons({ zooming }: { zooming: Zooming }) {
  const messages = useMessages().compare;
  const { view, closer, wider, fit, pan } = zooming;
  const isZoomed = view.scale > 1;
  useShortcut({ keys: "+", label: messages.closer, scope: "here" }, closer);
  useShortcut({ keys: "-", label: messages.wider, scope: "here" }, wider);
  useShortcut({ keys: "0", label: messages.fit, scope: "here" }, fit);
  usePanKey("arrowleft", messages.panLeft, () => pan(PAN, 0), isZoomed);
  usePanKey("arrowright", messages.panRight, () => pan(-PAN, 0), isZoomed);
  usePanKey("arrowup", messages.panUp, () => pan(0, PAN), isZoomed);
  usePanKey("arrowdown", messages.panDown, () => pan(0, -PAN), isZoomed);
  return (
    <div className="flex items-center">
      <IconButton
        size="sm"
        label={messages.wider}
        icon={<ZoomOut size={16} />}
        disabled={!isZoomed}
        onClick={wider}
      />
      <span className="numeric min-w-11 text-center text-xs text-muted">{percent(view.scale)}</span>
      <IconButton size="sm" label={messages.closer} icon={<ZoomIn size={16} />} onClick={closer} />
      <IconButton
        size="sm"
        label={messages.fit}
        icon={<Scan size={16} />}
        disabled={!isZoomed}
        onClick={fit}
      />
    </div>
  );
}

function usePanKey(arrow: string, label: string, run: () => void, isOn: boolean): void {
  useShortcut({ keys: `shift+${arrow}`, label, scope: "here" }, run, isOn);
}
