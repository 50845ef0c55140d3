import { QueryClient } from "@tanstack/react-query";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { follow, useConnection } from "@/api/live";
import { AWAY_MS } from "@/lib/away";
import { usePreferences } from "@/stores/preferences";

/** The browser's own is not there without a browser. */
class Stream extends EventTarget {
  static opened: Stream[] = [];
  isClosed = false;
  onerror: (() => void) | null = null;
  constructor(readonly url: string) {
    super();
    Stream.opened.push(this);
  }
  close() {
    this.isClosed = true;
  }
}

/** One lock, given in turn: what navigator.locks is to pages of one browser. */
class Locks {
  private isHeld = false;
  private readonly waiting: (() => void)[] = [];
  async request(_: string, options: LockOptions, hold: (lock: object | null) => unknown) {
    if (this.isHeld && options.ifAvailable) return hold(null);
    if (this.isHeld) await new Promise<void>((resolve) => this.waiting.push(resolve));
    this.isHeld = true;
    await hold({});
    this.isHeld = false;
    this.waiting.shift()?.();
  }
}

let visibility: DocumentVisibilityState;
let stops: (() => void)[];

const open = () => Stream.opened.filter((stream) => !stream.isClosed);
const see = (next: DocumentVisibilityState) => {
  visibility = next;
  document.dispatchEvent(new Event("visibilitychange"));
};
const begin = () => {
  const client = new QueryClient();
  const stop = follow(client);
  stops.push(stop);
  return { client, stop };
};

beforeEach(() => {
  vi.useFakeTimers();
  Stream.opened = [];
  stops = [];
  visibility = "visible";
  vi.spyOn(document, "visibilityState", "get").mockImplementation(() => visibility);
  vi.stubGlobal("EventSource", Stream);
});
afterEach(() => {
  for (const stop of stops) stop();
  usePreferences.setState({ hasNotifications: false });
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

it("lets the stream go once the page has been hidden for a while, and opens it on return", () => {
  begin();
  Stream.opened[0]?.dispatchEvent(new Event("hello"));
  expect(useConnection.getState().connection).toBe("live");
  see("hidden");
  vi.advanceTimersByTime(AWAY_MS - 1);
  expect(open()).toHaveLength(1);
  see("visible"); // a look at another page
  vi.advanceTimersByTime(2 * AWAY_MS);
  expect(Stream.opened).toHaveLength(1);
  see("hidden");
  vi.advanceTimersByTime(AWAY_MS);
  expect(open()).toHaveLength(0);
  window.dispatchEvent(new Event("online"));
  vi.advanceTimersByTime(60_000);
  expect(Stream.opened).toHaveLength(1);
  see("visible");
  expect(open()).toHaveLength(1);
  expect(useConnection.getState().connection).toBe("connecting");
});

it("opens none on a page that begins hidden", () => {
  visibility = "hidden";
  const { stop } = begin();
  expect(Stream.opened).toHaveLength(0);
  see("visible");
  expect(open()).toHaveLength(1);
  stop();
  see("hidden");
  see("visible");
  expect(open()).toHaveLength(0);
});

it("does not try again while nobody sees the page", () => {
  begin();
  see("hidden");
  Stream.opened[0]?.onerror?.();
  vi.advanceTimersByTime(AWAY_MS);
  const { length } = Stream.opened;
  vi.advanceTimersByTime(60_000);
  expect(Stream.opened).toHaveLength(length);
  expect(open()).toHaveLength(0);
});

it("keeps one stream among hidden pages where notifications are wished for", async () => {
  vi.stubGlobal("Notification", { permission: "granted" });
  vi.stubGlobal("navigator", { ...navigator, locks: new Locks() });
  usePreferences.setState({ hasNotifications: true });
  const first = begin();
  begin();
  see("hidden");
  await vi.advanceTimersByTimeAsync(AWAY_MS);
  expect(Stream.opened).toHaveLength(2);
  expect(Stream.opened.map(({ isClosed }) => isClosed)).toEqual([false, true]);
  first.stop(); // closed: the other takes over
  await vi.advanceTimersByTimeAsync(0);
  expect(open()).toEqual([Stream.opened[2]]);
  see("visible");
  await vi.advanceTimersByTimeAsync(0);
  expect(open()).toEqual([Stream.opened[2]]);
});

it("asks who is there when the stream stays closed: the key may be valid no more", () => {
  const { client } = begin();
  client.setQueryData(["session"], { is_authenticated: true });
  Stream.opened[0]?.onerror?.();
  expect(client.getQueryState(["session"])?.isInvalidated).toBe(false);
  vi.advanceTimersByTime(1000);
  Stream.opened[1]?.onerror?.();
  expect(client.getQueryState(["session"])?.isInvalidated).toBe(true);
});
