import { fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { ToastRegion, useToasts } from "@/ui/toast";
import { TipProvider } from "@/ui/tooltip";

beforeEach(() => vi.useFakeTimers());
afterEach(() => {
  useToasts.getState().clear();
  vi.useRealTimers();
});

const { show, dismiss, act, clear } = useToasts.getState();
const texts = () => useToasts.getState().toasts.map(({ text }) => text);
const idOf = (text: string): number =>
  useToasts.getState().toasts.find((toast) => toast.text === text)?.id ?? 0;
const tell = (text: string) =>
  show({ tone: "good", text, action: { label: "Open", run: vi.fn() }, isPassing: true });

it("keeps what can be taken back, however much news comes", () => {
  const onGone = vi.fn();
  show({ tone: "neutral", text: "deleted", action: { label: "Undo", run: vi.fn() }, onGone });
  for (const name of ["a", "b", "c", "d"]) tell(name);
  expect(texts()).toEqual(["deleted", "c", "d"]);
  expect(onGone).not.toHaveBeenCalled();
});

it("shows the newest where all others have to stay", () => {
  for (const text of ["x", "y", "z"])
    show({ tone: "neutral", text, action: { label: "Undo", run: vi.fn() } });
  tell("a");
  tell("b");
  expect(texts()).toEqual(["x", "y", "z", "b"]);
});

it("says that it has gone once, and not where its action was taken", () => {
  const [gone, run] = [vi.fn(), vi.fn()];
  const offer = (text: string) =>
    show({ tone: "neutral", text, action: { label: "Undo", run }, onGone: () => gone(text) });
  for (const text of ["in time", "closed", "undone"]) offer(text);
  act(idOf("undone"));
  dismiss(idOf("closed"));
  expect(gone.mock.calls).toEqual([["closed"]]);
  vi.advanceTimersByTime(6000);
  expect(gone.mock.calls).toEqual([["closed"], ["in time"]]);
  expect(run).toHaveBeenCalledOnce();
  offer("left");
  clear();
  expect(gone).toHaveBeenLastCalledWith("left");
});

it("stays while the pointer or the focus is on it", () => {
  const onGone = vi.fn();
  const region = () => screen.getByRole("status");
  show({ tone: "neutral", text: "deleted", action: { label: "Undo", run: vi.fn() }, onGone });
  const { unmount } = render(<ToastRegion />, { wrapper: TipProvider });
  vi.advanceTimersByTime(5000);
  fireEvent.mouseEnter(region());
  vi.advanceTimersByTime(60_000);
  expect(texts()).toEqual(["deleted"]);
  fireEvent.mouseLeave(region());
  fireEvent.focus(screen.getByRole("button", { name: "Undo" }));
  vi.advanceTimersByTime(60_000);
  expect(texts()).toEqual(["deleted"]);
  fireEvent.blur(screen.getByRole("button", { name: "Undo" }));
  unmount();
  vi.advanceTimersByTime(6000);
  expect(texts()).toEqual([]);
  expect(onGone).toHaveBeenCalledOnce();
});
