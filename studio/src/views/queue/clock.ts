import { useEffect, useState } from "react";

/** The time in seconds, told anew each second while `isOn`. */
export function useSeconds(isOn: boolean): number {
  const [now, setNow] = useState(() => Date.now() / 1000);
  useEffect(() => {
    if (!isOn) return;
    setNow(Date.now() / 1000);
    const timer = setInterval(() => setNow(Date.now() / 1000), 1000);
    return () => clearInterval(timer);
  }, [isOn]);
  return now;
}
