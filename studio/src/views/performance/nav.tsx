import { useEffect, useRef } from "react";
import { Link, useLocation } from "wouter";
import { useMessages } from "@/messages";
import { cx } from "@/ui/cx";
import { SECTIONS } from "@/views/performance/sections";

/** The parts of the dashboard as links: each has an address of its own. */
export function SectionNav() {
  const messages = useMessages().performance;
  const [location] = useLocation();
  const list = useRef<HTMLUListElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: when another part shows, its link does too
  useEffect(() => {
    const here = list.current?.querySelector<HTMLElement>("[aria-current]");
    if (here && list.current)
      list.current.scrollLeft = here.offsetLeft - list.current.clientWidth / 2;
  }, [location]);
  return (
    <nav
      aria-label={messages.sections.label}
      className="sticky top-13 z-20 -mx-4 mb-5 border-b border-line bg-canvas px-4 sm:-mx-6 sm:px-6 lg:-mx-8 lg:px-8"
    >
      <ul ref={list} className="relative flex gap-1 overflow-x-auto [scrollbar-width:none]">
        {SECTIONS.map((section) => {
          const isHere = location === section.path;
          return (
            <li key={section.path} className="shrink-0">
              <Link
                href={section.path}
                aria-current={isHere ? "page" : undefined}
                className={cx(
                  "-outline-offset-2 block border-b-2 px-3 py-2.5 text-sm font-medium whitespace-nowrap",
                  isHere
                    ? "border-accent text-ink"
                    : "border-transparent text-muted hover:text-ink",
                )}
              >
                {messages.sections[section.name]}
              </Link>
            </li>
          );
        })}
      </ul>
    </nav>
  );
}
