import { type ReactNode, useEffect, useRef, useState } from "react";

interface Props {
  /** What stands there until it is near. */
  fallback: ReactNode;
  children: ReactNode;
}

/** Shows its content once it is near the screen: what lies below asks for nothing. */
export function WhenVisible({ fallback, children }: Props) {
  const ref = useRef<HTMLDivElement>(null);
  const [isNear, setIsNear] = useState(typeof IntersectionObserver === "undefined");
  useEffect(() => {
    if (isNear || !ref.current) return;
    const observer = new IntersectionObserver(
      (entries) => entries.some((entry) => entry.isIntersecting) && setIsNear(true),
      { rootMargin: "300px" },
    );
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, [isNear]);
  return isNear ? children : <div ref={ref}>{fallback}</div>;
}
