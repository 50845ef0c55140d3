import { FileUp } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { createPortal } from "react-dom";
import { useLocation } from "wouter";
import { useMessages } from "@/messages";
import { useHandedFile } from "@/stores/handed-file";
import { useTopLayer } from "@/ui/layers";

const hasFiles = (data: DataTransfer | null): boolean => data?.types.includes("Files") ?? false;

/** Files dropped anywhere; whether one is held over the page. The browser would open them. */
function useDroppedFile(take: (file: File) => void): boolean {
  const [isOver, setIsOver] = useState(false);
  const latest = useRef(take);
  latest.current = take;
  useEffect(() => {
    const stop = new AbortController();
    const on = (name: string, run: (event: DragEvent) => void) =>
      window.addEventListener(name, run as EventListener, { signal: stop.signal });
    let depth = 0; // enter and leave come for every element that is crossed
    const move = (event: DragEvent, by: number) => {
      if (!hasFiles(event.dataTransfer)) return;
      event.preventDefault();
      depth = Math.max(0, depth + by);
      setIsOver(depth > 0);
    };
    on("dragenter", (event) => move(event, 1));
    on("dragleave", (event) => move(event, -1));
    on("dragover", (event) => move(event, 0));
    on("drop", (event) => {
      depth = 0;
      setIsOver(false);
      if (hasFiles(event.dataTransfer)) event.preventDefault();
      const file = event.dataTransfer?.files[0];
      if (file) latest.current(file);
    });
    return () => stop.abort();
  }, []);
  return isOver;
}

/** On every page: a dropped file goes to Create, which reads the settings it was made with. */
export function FileDrop() {
  const { file: texts } = useMessages().create;
  const [location, navigate] = useLocation();
  const layer = useTopLayer();
  const isOver = useDroppedFile((file) => {
    useHandedFile.getState().hand(file);
    if (location !== "/") navigate("/");
  });
  if (!isOver) return null;
  return createPortal(
    <div
      aria-hidden
      className="pointer-events-none fixed inset-3 z-40 grid place-items-center rounded-2xl border-2 border-dashed border-accent bg-canvas/80"
    >
      <div className="flex flex-col items-center gap-2 rounded-2xl border border-line bg-raised px-8 py-6 text-center shadow-pop">
        <FileUp size={28} className="text-accent-ink" />
        <p className="text-base font-medium">{texts.drop}</p>
        <p className="text-sm text-muted">{texts.dropHint}</p>
      </div>
    </div>,
    layer,
  );
}
