import { lazy, Suspense } from "react";
import type { LiveSeriesProps } from "@/charts/live-series-plot";
import { Skeleton } from "@/ui/states";

export type { LiveSeriesProps } from "@/charts/live-series-plot";

const Plot = lazy(() => import("@/charts/live-series-plot"));

/** Long series that grow while one looks, by uPlot, which is loaded when the first one shows. */
export function LiveSeries(props: LiveSeriesProps) {
  const height = props.height ?? 160;
  return (
    <div style={{ minHeight: height }}>
      <Suspense fallback={<Skeleton className="h-40" />}>
        <Plot {...props} />
      </Suspense>
    </div>
  );
}
