export const AWAY_MS = 10_000;

/**
 * Tell `listener` when nobody has seen the page for a while, and when somebody sees it again.
 *
 * A page that begins hidden is away at once. Returns how to stop.
 */
export function watchAway(listener: (isAway: boolean) => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isAway = false;
  const set = (next: boolean) => {
    if (next === isAway) return;
    isAway = next;
    listener(next);
  };
  const look = () => {
    clearTimeout(timer);
    if (document.visibilityState === "hidden") timer = setTimeout(() => set(true), AWAY_MS);
    else set(false);
  };
  document.addEventListener("visibilitychange", look);
  if (document.visibilityState === "hidden") set(true);
  return () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", look);
  };
}
