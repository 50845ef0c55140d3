import { useEffect, useState } from "react";

/** False until the browser has shown the caller once: what can wait comes after that. */
export function useAfterPaint(): boolean {
  const [isShown, setIsShown] = useState(false);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const frame = requestAnimationFrame(() => {
      timer = setTimeout(() => setIsShown(true)); // a frame's callbacks come before it is painted
    });
    return () => {
      cancelAnimationFrame(frame);
      clearTimeout(timer);
    };
  }, []);
  return isShown;
}
