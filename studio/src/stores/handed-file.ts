// A file that was dropped on some page, until Create has read it.
import { create } from "zustand";

interface HandedFile {
  file: File | null;
  hand(file: File): void;
  /** The file, once. */
  take(): File | null;
}

export const useHandedFile = create<HandedFile>()((set, get) => ({
  file: null,
  hand: (file) => set({ file }),
  take: () => {
    const { file } = get();
    if (file) set({ file: null });
    return file;
  },
}));
