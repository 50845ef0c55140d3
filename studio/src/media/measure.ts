import { type RefObject, useLayoutEffect, useState } from "react";

export interface Place {
  /** From the top of the document. */
  top: number;
  width: number;
}

/** Where an element lies in the document, as virtual lists that scroll with the window need it. */
export function usePlace(ref: RefObject<HTMLElement | null>): Place {
  const [place, setPlace] = useState<Place>({ top: 0, width: 0 });
  useLayoutEffect(() => {
    const measure = () => {
      const box = ref.current?.getBoundingClientRect();
      if (!box) return;
      const top = Math.round(box.top + window.scrollY);
      const width = Math.floor(box.width);
      setPlace((known) => (known.top === top && known.width === width ? known : { top, width }));
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(document.body);
    if (ref.current) observer.observe(ref.current);
    return () => observer.disconnect();
  }, [ref]);
  return place;
}
