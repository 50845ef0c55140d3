import { type RefObject, useLayoutEffect, useRef, useState } from "react";

/** The width an element has, followed: charts are drawn in real pixels so that text stays sharp. */
export function useWidth<E extends HTMLElement>(initial = 640): [RefObject<E | null>, number] {
  const ref = useRef<E>(null);
  const [width, setWidth] = useState(initial);
  useLayoutEffect(() => {
    const element = ref.current;
    if (!element) return;
    const read = () => {
      const now = Math.floor(element.clientWidth);
      if (now > 0) setWidth(now);
    };
    read();
    if (typeof ResizeObserver === "undefined") return;
    const observer = new ResizeObserver(read);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, width];
}
