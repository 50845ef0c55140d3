import { ChartNoAxesCombined, Columns2, Grid3x3, Images, ListVideo, Sparkles } from "lucide-react";
import { Link, useRoute } from "wouter";
import { type Messages, useMessages } from "@/messages";
import { useActiveCounts } from "@/shell/counts";
import { cx } from "@/ui/cx";

export const PAGES = [
  { path: "/", name: "create", icon: Sparkles, key: "1" },
  { path: "/queue", name: "queue", icon: ListVideo, key: "2" },
  { path: "/library", name: "library", icon: Images, key: "3" },
  { path: "/compare", name: "compare", icon: Columns2, key: "4" },
  { path: "/grid", name: "grid", icon: Grid3x3, key: "5" },
  { path: "/performance", name: "performance", icon: ChartNoAxesCombined, key: "6" },
] as const;

type PageEntry = (typeof PAGES)[number];

export function pageName(name: PageEntry["name"], messages: Messages): string {
  return messages.app[name];
}

/** The pages: a rail on wide screens, a bar at the bottom of phones. */
export function Nav({ kind }: { kind: "rail" | "bar" }) {
  const messages = useMessages();
  return (
    <nav
      aria-label={messages.app.nav}
      className={
        kind === "rail"
          ? "hidden w-[212px] shrink-0 flex-col gap-0.5 border-r border-line p-3 md:flex"
          : "fixed inset-x-0 bottom-0 z-30 flex justify-around border-t border-line bg-surface pb-[env(safe-area-inset-bottom)] md:hidden"
      }
    >
      {PAGES.map((page) => (
        <NavLink key={page.path} page={page} kind={kind} />
      ))}
    </nav>
  );
}

function NavLink({ page, kind }: { page: PageEntry; kind: "rail" | "bar" }) {
  const messages = useMessages();
  const [isHere] = useRoute(page.path === "/" ? "/" : `${page.path}/*?`);
  const { running, waiting } = useActiveCounts();
  const count = page.name === "queue" ? running + waiting : 0;
  const Icon = page.icon;
  return (
    <Link
      href={page.path}
      aria-current={isHere ? "page" : undefined}
      className={cx(
        kind === "rail"
          ? "flex h-9 items-center gap-3 rounded-lg px-3 text-sm font-medium"
          : "relative flex h-14 min-w-0 flex-auto flex-col items-center justify-center gap-0.5 text-[10px] font-medium tracking-tight",
        isHere ? "text-ink" : "text-muted hover:text-ink",
        kind === "rail" && (isHere ? "bg-accent-soft text-accent-ink!" : "hover:bg-sunken"),
        kind === "bar" && isHere && "text-accent-ink!",
      )}
    >
      <Icon size={kind === "rail" ? 17 : 19} aria-hidden strokeWidth={1.9} />
      <span className={kind === "rail" ? "flex-1" : "max-w-full truncate"}>
        {pageName(page.name, messages)}
      </span>
      {count > 0 && (
        <span
          className={cx(
            "numeric rounded-full bg-accent px-1.5 text-[11px] leading-[18px] font-semibold text-on-accent",
            kind === "bar" && "absolute top-1 left-1/2 ml-1.5",
          )}
        >
          {count > 999 ? "999+" : count}
        </span>
      )}
    </Link>
  );
}
