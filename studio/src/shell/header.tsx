import { useQuery } from "@tanstack/react-query";
import {
  Bell,
  BellRing,
  BookOpen,
  Keyboard,
  LogOut,
  Monitor,
  Moon,
  MoreHorizontal,
  Sun,
} from "lucide-react";
import { Link } from "wouter";
import { reconnect, useConnection } from "@/api/live";
import { queueQuery, statusQuery } from "@/api/queries";
import { useMessages } from "@/messages";
import { askForNotifications } from "@/shell/notifications";
import { useSession } from "@/shell/session";
import { usePreferences } from "@/stores/preferences";
import { Badge } from "@/ui/badge";
import { IconButton } from "@/ui/button";
import { cx } from "@/ui/cx";
import { Menu } from "@/ui/menu";
import { Tip } from "@/ui/tooltip";

export function Header({ onHelp }: { onHelp(): void }) {
  const messages = useMessages();
  return (
    <header className="sticky top-0 z-30 flex h-13 items-center gap-3 border-b border-line bg-canvas px-4 md:px-5">
      <Link href="/" className="flex items-center gap-2.5 font-semibold tracking-tight">
        <img src="/favicon.svg" alt="" className="size-6" />
        {messages.app.name}
      </Link>
      <span className="ml-auto flex min-w-0 items-center gap-2">
        <ServiceBadges />
        <ConnectionMark />
        <MoreMenu onHelp={onHelp} />
      </span>
    </header>
  );
}

function ServiceBadges() {
  const messages = useMessages();
  const { data: queue } = useQuery(queueQuery);
  const { data: status } = useQuery(statusQuery);
  return (
    <>
      {queue && queue.num_workers === 0 && (
        <Tip text={messages.app.noWorkersHint}>
          <button type="button">
            <Badge tone="warn">{messages.app.noWorkers}</Badge>
          </button>
        </Tip>
      )}
      {queue?.paused.includes("all") && (
        <Link href="/queue">
          <Badge tone="warn">{messages.app.paused}</Badge>
        </Link>
      )}
      {status && (
        <Tip
          text={
            status.profile === "pocket" ? messages.app.profilePocketHint : messages.app.profileFull
          }
        >
          <button type="button" className="hidden sm:block">
            <Badge>
              {status.profile === "pocket" ? messages.app.profilePocket : messages.app.profileFull}
            </Badge>
          </button>
        </Tip>
      )}
    </>
  );
}

function ConnectionMark() {
  const messages = useMessages();
  const { connection } = useConnection();
  const text = {
    live: messages.connection.live,
    connecting: messages.connection.connecting,
    offline: messages.connection.offline,
  };
  return (
    <Tip
      text={
        connection === "offline" ? messages.connection.offlineHint : messages.connection.liveHint
      }
    >
      <button
        type="button"
        onClick={reconnect}
        className="flex h-8 items-center gap-1.5 rounded-md px-1.5 text-xs text-muted"
        aria-live="polite"
      >
        <span
          aria-hidden
          className={cx(
            "size-2 rounded-full",
            connection === "live" && "bg-good",
            connection === "connecting" && "animate-pulse bg-warn",
            connection === "offline" && "bg-bad",
          )}
        />
        <span className="max-[420px]:sr-only">{text[connection]}</span>
      </button>
    </Tip>
  );
}

function MoreMenu({ onHelp }: { onHelp(): void }) {
  const messages = useMessages();
  const { theme, setTheme, hasNotifications, setNotifications } = usePreferences();
  const { session, signOut } = useSession();
  const themes = [
    { theme: "system", label: messages.app.themeSystem, icon: <Monitor size={15} /> },
    { theme: "light", label: messages.app.themeLight, icon: <Sun size={15} /> },
    { theme: "dark", label: messages.app.themeDark, icon: <Moon size={15} /> },
  ] as const;
  return (
    <Menu
      trigger={
        <IconButton size="sm" label={messages.app.more} icon={<MoreHorizontal size={18} />} />
      }
      items={[
        ...themes.map((each) => ({
          label: each.label,
          icon: each.icon,
          isChecked: each.theme === theme,
          onSelect: () => setTheme(each.theme),
        })),
        null,
        {
          label: hasNotifications ? messages.app.notificationsOn : messages.app.notifications,
          icon: hasNotifications ? <BellRing size={15} /> : <Bell size={15} />,
          isChecked: hasNotifications,
          onSelect: () => {
            if (hasNotifications) setNotifications(false);
            else void askForNotifications(messages);
          },
        },
        { label: messages.app.help, icon: <Keyboard size={15} />, onSelect: onHelp },
        {
          label: messages.app.docs,
          icon: <BookOpen size={15} />,
          onSelect: () => window.open("/docs", "_blank", "noopener"),
        },
        ...(session?.key_name != null
          ? [
              null,
              {
                label: messages.key.forget,
                icon: <LogOut size={15} />,
                onSelect: () => void signOut(),
              },
            ]
          : []),
      ]}
    />
  );
}
