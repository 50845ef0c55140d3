import { type RefObject, useEffect, useRef, useState } from "react";
import { useReport } from "@/api/actions";
import { answer, api } from "@/api/client";
import { useMessages } from "@/messages";
import { useDraft } from "@/stores/draft";
import { useHandedFile } from "@/stores/handed-file";
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

/** Files that were dropped on whichever page, or are pasted on this one. */
function useGivenFile(read: (file: File) => void): void {
  const latest = useRef(read);
  latest.current = read;
  const handed = useHandedFile((store) => store.file);
  useEffect(() => {
    const file = handed && useHandedFile.getState().take();
    if (file) latest.current(file);
  }, [handed]);
  useEffect(() => {
    const paste = (event: ClipboardEvent) => {
      const file = event.clipboardData?.files[0];
      if (!file) return;
      event.preventDefault();
      latest.current(file);
    };
    window.addEventListener("paste", paste);
    return () => window.removeEventListener("paste", paste);
  }, []);
}

interface Props {
  input: RefObject<HTMLInputElement | null>;
}

/** The ways in for a file: dropped, pasted, or picked through `input`. */
export function FileGate({ input }: Props) {
  const { file: texts } = useMessages().create;
  const { read, isReading } = useReadFile();
  useGivenFile((file) => void read(file));
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
    </>
  );
}
