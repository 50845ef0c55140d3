// Of all hidden pages of a browser one keeps the watch: it hears of ends, the others let go.
const NAME = "ourvidz.watch";

interface Watch {
  /** This page has the watch. */
  onHeld(): void;
  /** Another one has it; this page may get it later. */
  onWaiting(): void;
}

/** Ask for the watch; returns how to give it up. */
export function takeWatch({ onHeld, onWaiting }: Watch): () => void {
  const { locks } = navigator as { locks?: LockManager };
  if (!locks) {
    onWaiting(); // no secure context: it may not notify either
    return () => undefined;
  }
  const given = new AbortController();
  const hold = () => {
    if (given.signal.aborted) return undefined;
    onHeld();
    return new Promise<void>((resolve) =>
      given.signal.addEventListener("abort", () => resolve(), { once: true }),
    );
  };
  const first = locks.request(NAME, { ifAvailable: true }, (lock) => {
    if (lock) return hold();
    if (given.signal.aborted) return undefined;
    onWaiting();
    locks.request(NAME, { signal: given.signal }, hold).catch(() => undefined); // given up
    return undefined;
  });
  first.catch(onWaiting);
  return () => given.abort();
}
