import { useQueries, useQuery } from "@tanstack/react-query";
import { activeQuery } from "@/api/queries";
import { Loading, Skeleton } from "@/ui/states";
import { Alarms } from "@/views/performance/alarms";
import { Matrix } from "@/views/performance/matrix";
import { PhaseComposition } from "@/views/performance/phases";
import { alarmsQuery, matrixQuery } from "@/views/performance/queries";
import { NowRunning } from "@/views/performance/running";
import { WhenVisible } from "@/views/performance/when-visible";

/** What runs, what needs a look, what everything takes. */
export default function Overview() {
  const { isPending } = useQuery(activeQuery);
  if (isPending) return <Loading className="min-h-[200vh]" />;
  return (
    <>
      <NowRunning />
      <Figures />
    </>
  );
}

/**
 * All at once: how high alarms and matrix are nobody knows before, and what stands below would be
 * pushed down while it is read.
 */
function Figures() {
  const first = useQueries({ queries: [alarmsQuery, matrixQuery] });
  if (first.some((each) => each.isPending)) return <Loading className="min-h-[200vh]" />;
  return (
    <>
      <Alarms />
      <Matrix />
      <WhenVisible fallback={<Skeleton className="h-72" />}>
        <PhaseComposition />
      </WhenVisible>
    </>
  );
}
