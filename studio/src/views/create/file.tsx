import { FileUp } from "lucide-react";
import { type RefObject, useEffect, useRef, useState } from "react";
import { useReport } from "@/api/actions";
import { answer, api } from "@/api/client";
import { useMessages } from "@/messages";
import { useDraft } from "@/stores/draft";
import { essence } from "@/views/create/essence";
import { useReplace } from "@/views/create/form";
import { draftOfSettings } from "@/views/create/request";

async function settingsOf(file: File) {
  const body = await essence(file);
  return answer(
    api.POST("/api/v1/settings/read", {
      body: body as unknown as string, // the schema's word for bytes
      bodySerializer: (bytes: unknown) => bytes as Blob,
      headers: { "Content-Type": file.type || "application/octet-stream" },
    }),
  );
}

/** Fill the form with what a file was made with. */
export function useReadFile() {
  const { settings } = useMessages().create;
  const replace = useReplace();
  const report = useReport();
  const [isReading, setIsReading] = useState(false);
  const read = async (file: File) => {
    setIsReading(true);
    try {
      const { request, notes } = await settingsOf(file);
      const one = { num_images: 1, ...request }; // a file is one of its job's images, with its seed
      const draft = draftOfSettings(one, useDraft.getState().draft);
      replace(draft, settings.fileRead(file.name), notes.join(" ") || undefined);
    } catch (error) {
      report(error);
    } finally {
      setIsReading(false);
    }
  };
  return { read, isReading };
}

const hasFiles = (data: DataTransfer | null): boolean => data?.types.includes("Files") ?? false;

/** Files dropped or pasted anywhere on the page; whether one is held over it. */
function useDroppedFile(read: (file: File) => void): boolean {
  const [isOver, setIsOver] = useState(false);
  const latest = useRef(read);
  latest.current = read;
  useEffect(() => {
    const stop = new AbortController();
    const on = <E extends Event>(name: string, run: (event: E) => void) =>
      window.addEventListener(name, run as EventListener, { signal: stop.signal });
    let depth = 0; // enter and leave come for every element that is crossed
    const move = (event: DragEvent, by: number) => {
      if (!hasFiles(event.dataTransfer)) return;
      event.preventDefault();
      depth = Math.max(0, depth + by);
      setIsOver(depth > 0);
    };
    const take = (event: Event, files: FileList | undefined) => {
      const file = files?.[0];
      if (!file) return;
      event.preventDefault();
      latest.current(file);
    };
    on<DragEvent>("dragenter", (event) => move(event, 1));
    on<DragEvent>("dragleave", (event) => move(event, -1));
    on<DragEvent>("dragover", (event) => move(event, 0));
    on<DragEvent>("drop", (event) => {
      depth = 0;
      setIsOver(false);
      take(event, event.dataTransfer?.files);
    });
    on<ClipboardEvent>("paste", (event) => take(event, event.clipboardData?.files));
    return () => stop.abort();
  }, []);
  return isOver;
}

interface Props {
  input: RefObject<HTMLInputElement | null>;
}

/** The ways in for a file: dropped, pasted, or picked through `input`. */
export function FileGate({ input }: Props) {
  const { file: texts } = useMessages().create;
  const { read, isReading } = useReadFile();
  const isOver = useDroppedFile((file) => void read(file));
  return (
    <>
      <input
        ref={input}
        type="file"
        accept="image/png,video/mp4"
        aria-label={texts.action}
        hidden
        onChange={(event) => {
          const file = event.target.files?.[0];
          if (file) void read(file);
          event.target.value = "";
        }}
      />
      <span role="status" className="sr-only">
        {isReading ? texts.reading : ""}
      </span>
      {isOver && (
        <div
          aria-hidden
          className="pointer-events-none fixed inset-3 z-40 grid place-items-center rounded-2xl border-2 border-dashed border-accent bg-canvas/80"
        >
          <div className="flex flex-col items-center gap-2 rounded-2xl border border-line bg-raised px-8 py-6 text-center shadow-pop">
            <FileUp size={28} className="text-accent-ink" />
            <p className="text-base font-medium">{texts.drop}</p>
            <p className="text-sm text-muted">{texts.dropHint}</p>
          </div>
        </div>
      )}
    </>
  );
}
