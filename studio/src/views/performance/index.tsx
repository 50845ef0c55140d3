import { type ComponentType, lazy, Suspense } from "react";
import { Redirect, Route, Switch, useLocation } from "wouter";
import { useMessages } from "@/messages";
import { Boundary } from "@/shell/boundary";
import { Page } from "@/ui/page";
import { Empty, Loading } from "@/ui/states";
import { useLiveFigures } from "@/views/performance/live";
import { SectionNav } from "@/views/performance/nav";
import { ReportMenu } from "@/views/performance/report-menu";
import { ROOT } from "@/views/performance/sections";

const Overview = lazy(() => import("@/views/performance/overview"));
const Trends = lazy(() => import("@/views/performance/trends"));
const Throughput = lazy(() => import("@/views/performance/throughput"));
const Failures = lazy(() => import("@/views/performance/failures"));
const Health = lazy(() => import("@/views/performance/health"));
const Gpus = lazy(() => import("@/views/performance/gpus"));
const Fleet = lazy(() => import("@/views/performance/fleet"));
const Pareto = lazy(() => import("@/views/performance/pareto"));
const Goals = lazy(() => import("@/views/performance/goals"));
const Protocol = lazy(() => import("@/views/performance/protocol"));
const Ledger = lazy(() => import("@/views/performance/ledger"));

/** The dashboard: its parts load when they are opened, and ask for what they show alone. */
export default function PerformanceView() {
  const messages = useMessages().performance;
  useLiveFigures();
  return (
    <Page title={messages.title} text={messages.text} actions={<ReportMenu />} isWide>
      <SectionNav />
      <Switch>
        <Route path={ROOT}>
          <Panels panels={[Overview]} />
        </Route>
        <Route path={`${ROOT}/trends`}>
          <Panels panels={[Trends]} />
        </Route>
        <Route path={`${ROOT}/queue`}>
          <Panels panels={[Throughput, Health, Failures]} />
        </Route>
        <Route path={`${ROOT}/gpus`}>
          <Panels panels={[Gpus]} />
        </Route>
        <Route path={`${ROOT}/fleet`}>
          <Panels panels={[Fleet]} />
        </Route>
        <Route path={`${ROOT}/quality`}>
          <Panels panels={[Pareto]} />
        </Route>
        <Route path={`${ROOT}/goals`}>
          <Panels panels={[Goals]} />
        </Route>
        <Route path={`${ROOT}/protocol`}>
          <Panels panels={[Protocol]} />
        </Route>
        <Route path={`${ROOT}/jobs/:id`}>
          <Panels panels={[Ledger]} />
        </Route>
        <Route>
          <Redirect to={ROOT} replace />
        </Route>
      </Switch>
    </Page>
  );
}

/** Panels of one part; one that breaks leaves the others standing. */
function Panels({ panels }: { panels: readonly ComponentType[] }) {
  const [location] = useLocation();
  return (
    <div className="flex flex-col gap-5">
      {panels.map((Panel, index) => (
        <Boundary key={index} resetKey={location} fallback={<PanelBroken />}>
          <Suspense fallback={<Loading />}>
            <Panel />
          </Suspense>
        </Boundary>
      ))}
    </div>
  );
}

function PanelBroken() {
  const { states } = useMessages();
  return <Empty title={states.crashed} text={states.crashedHint} />;
}
