import { Skeleton } from "@/ui/states";
import { Alarms } from "@/views/performance/alarms";
import { Matrix } from "@/views/performance/matrix";
import { PhaseComposition } from "@/views/performance/phases";
import { NowRunning } from "@/views/performance/running";
import { WhenVisible } from "@/views/performance/when-visible";

/** What runs, what needs a look, what everything takes. */
export default function Overview() {
  return (
    <>
      <Alarms />
      <NowRunning />
      <Matrix />
      <WhenVisible fallback={<Skeleton className="h-72" />}>
        <PhaseComposition />
      </WhenVisible>
    </>
  );
}
