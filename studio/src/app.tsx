import { useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { Route, Switch, useLocation } from "wouter";
import { onUnauthorized } from "@/api/client";
import { follow, onJobEnd, reconnect, useConnection } from "@/api/live";
import { keys } from "@/api/queries";
import { handleKey, useShortcut } from "@/lib/shortcuts";
import { useMessages } from "@/messages";
import { Boundary } from "@/shell/boundary";
import { Header } from "@/shell/header";
import { HelpSheet } from "@/shell/help";
import { KeyPage } from "@/shell/key-dialog";
import { Nav, PAGES, pageName } from "@/shell/nav";
import { tellEnd } from "@/shell/notifications";
import { useSession } from "@/shell/session";
import { Button } from "@/ui/button";
import { FileDrop } from "@/ui/file-drop";
import { Page } from "@/ui/page";
import { Empty, ErrorState, Loading } from "@/ui/states";
import { ToastRegion } from "@/ui/toast";

const VIEWS = {
  "": () => import("@/views/create"),
  queue: () => import("@/views/queue"),
  library: () => import("@/views/library"),
  compare: () => import("@/views/compare"),
  grid: () => import("@/views/grid"),
  performance: () => import("@/views/performance"),
};
const CreateView = lazy(VIEWS[""]);
const QueueView = lazy(VIEWS.queue);
const LibraryView = lazy(VIEWS.library);
const CompareView = lazy(VIEWS.compare);
const GridView = lazy(VIEWS.grid);
const PerformanceView = lazy(VIEWS.performance);

/** Fetch the code of the page that is asked for, while the service says who is there. */
export function prefetchView(pathname: string): void {
  const page = pathname.split("/")[1] ?? "";
  if (Object.hasOwn(VIEWS, page)) VIEWS[page as keyof typeof VIEWS]().catch(() => undefined);
}

export function App() {
  const { session, error, refetch } = useSession();
  const client = useQueryClient();
  useEffect(
    () => onUnauthorized(() => void client.invalidateQueries({ queryKey: keys.session })),
    [client],
  );
  if (!session && error) {
    return (
      <main className="mx-auto max-w-xl p-6">
        <ErrorState error={error} onRetry={() => void refetch()} />
      </main>
    );
  }
  if (!session) return null; // for as long as one look at the service takes
  if (session.needs_key && !session.is_authenticated) return <KeyPage />;
  return <Frame />;
}

function Frame() {
  const messages = useMessages();
  const [location] = useLocation();
  const [isHelp, setIsHelp] = useState(false);
  useLife();
  useShortcut({ keys: "?", label: messages.help.show, scope: "everywhere" }, () => setIsHelp(true));
  return (
    <div className="flex min-h-dvh flex-col">
      <a
        href="#content"
        className="sr-only z-50 rounded-lg bg-accent px-3 py-2 text-on-accent focus:not-sr-only focus:fixed focus:top-2 focus:left-2"
      >
        {messages.app.skip}
      </a>
      <Header onHelp={() => setIsHelp(true)} />
      <OfflineBar />
      <div className="flex min-h-0 flex-1">
        <div className="sticky top-13 hidden h-[calc(100dvh-3.25rem)] md:flex">
          <Nav kind="rail" />
        </div>
        <main id="content" tabIndex={-1} className="min-w-0 flex-1 pb-16 outline-none md:pb-0">
          <Boundary resetKey={location} fallback={<Broken />}>
            <Suspense fallback={<Loading className="p-6" />}>
              <Switch>
                <Route path="/" component={CreateView} />
                <Route path="/queue" component={QueueView} />
                <Route path="/library/:job?" component={LibraryView} />
                <Route path="/compare" component={CompareView} />
                <Route path="/grid/:batch?" component={GridView} />
                <Route path="/performance/*?" component={PerformanceView} />
                <Route component={NotFound} />
              </Switch>
            </Suspense>
          </Boundary>
        </main>
      </div>
      <Nav kind="bar" />
      {PAGES.map((page) => (
        <PageShortcut key={page.path} page={page} />
      ))}
      <HelpSheet isOpen={isHelp} onClose={() => setIsHelp(false)} />
      <FileDrop />
      <ToastRegion />
    </div>
  );
}

/** What lives as long as the page: news from the service, keys, ends of jobs, where focus goes. */
function useLife(): void {
  const client = useQueryClient();
  const messages = useMessages();
  const [location, navigate] = useLocation();
  useEffect(() => follow(client), [client]);
  useEffect(() => {
    window.addEventListener("keydown", handleKey);
    return () => window.removeEventListener("keydown", handleKey);
  }, []);
  useEffect(
    () => onJobEnd((job) => tellEnd(job, messages, () => navigate(`/library/${job.id}`))),
    [messages, navigate],
  );
  const page = location.split("/")[1] ?? "";
  const last = useRef(page);
  useEffect(() => {
    if (last.current === page) return;
    last.current = page;
    window.scrollTo(0, 0);
    document.getElementById("content")?.focus({ preventScroll: true });
  }, [page]);
}

function PageShortcut({ page }: { page: (typeof PAGES)[number] }) {
  const messages = useMessages();
  const [, navigate] = useLocation();
  const label = messages.help.goTo(pageName(page.name, messages));
  useShortcut({ keys: page.key, label, scope: "everywhere" }, () => navigate(page.path));
  return null;
}

function OfflineBar() {
  const messages = useMessages();
  const { connection } = useConnection();
  if (connection !== "offline") return null;
  return (
    <div
      role="status"
      className="flex flex-wrap items-center justify-center gap-3 border-b border-line bg-warn-soft px-4 py-2 text-[13px]"
    >
      <span>{messages.connection.offlineHint}</span>
      <Button size="sm" onClick={reconnect}>
        {messages.connection.retry}
      </Button>
    </div>
  );
}

function NotFound() {
  const messages = useMessages();
  return (
    <Page title={messages.states.notFound}>
      <Empty title={messages.states.notFound} text={messages.states.notFoundHint} />
    </Page>
  );
}

function Broken() {
  const messages = useMessages();
  return (
    <Empty
      title={messages.states.crashed}
      text={messages.states.crashedHint}
      action={<Button onClick={() => window.location.reload()}>{messages.actions.reload}</Button>}
    />
  );
}
