import { act, renderHook } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { AWAY_MS } from "@/lib/away";
import { useLog } from "@/views/performance/ledger/use-log";

/** The browser's own is not there without a browser. */
class Stream extends EventTarget {
  static opened: Stream[] = [];
  isClosed = false;
  constructor(readonly url: string) {
    super();
    Stream.opened.push(this);
  }
  close() {
    this.isClosed = true;
  }
  tell(...seqs: number[]) {
    for (const seq of seqs) this.tellOne(seq);
  }
  private tellOne(seq: number) {
    const event = { seq, at: "2026-11-22T10:00:00Z", kind: "log", data: { text: `line ${seq}` } };
    this.dispatchEvent(new MessageEvent("log", { data: JSON.stringify(event) }));
  }
}

let visibility: DocumentVisibilityState;

const see = (next: DocumentVisibilityState) => {
  visibility = next;
  document.dispatchEvent(new Event("visibilitychange"));
};

beforeEach(() => {
  vi.useFakeTimers();
  Stream.opened = [];
  visibility = "visible";
  vi.spyOn(document, "visibilityState", "get").mockImplementation(() => visibility);
  vi.stubGlobal("EventSource", Stream);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

it("lets its stream go while nobody sees the page, and goes on without telling twice", () => {
  const { result, unmount } = renderHook(() => useLog("job_1", "logs", false));
  act(() => Stream.opened[0]?.tell(1, 2));
  see("hidden");
  vi.advanceTimersByTime(AWAY_MS);
  expect(Stream.opened[0]?.isClosed).toBe(true);
  see("visible");
  expect(Stream.opened).toHaveLength(2);
  act(() => Stream.opened[1]?.tell(1, 2, 3));
  expect(result.current.lines.map(({ text }) => text)).toEqual(["line 1", "line 2", "line 3"]);
  unmount();
  expect(Stream.opened[1]?.isClosed).toBe(true);
});
