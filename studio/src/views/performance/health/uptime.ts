import { useEffect, useState } from "react";

const EVERY_MS = 10_000;

/** Seconds since the service started, followed. */
export function useUptime(started_at: string | undefined): number | null {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  return started_at === undefined ? null : Math.max(0, (now - Date.parse(started_at)) / 1000);
}
