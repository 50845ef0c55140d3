import { useQuery } from "@tanstack/react-query";
import { Vote } from "lucide-react";
import { useEffect } from "react";
import { useMessages } from "@/messages";
import { Empty, ErrorState, Loading } from "@/ui/states";
import { nextTest, openTests } from "@/views/compare/blind/logic";
import { Test } from "@/views/compare/blind/test";
import { WinRates } from "@/views/compare/blind/win-rates";
import { blindTestQuery, blindTestsQuery } from "@/views/compare/queries";
import type { ComparisonState } from "@/views/compare/use-comparison";

/** One blind test after the other, and what all votes say together. */
export function Blind({ state }: { state: ComparisonState }) {
  return (
    <div className="flex flex-col gap-4">
      <Current state={state} />
      <WinRates />
    </div>
  );
}

function Current({ state }: { state: ComparisonState }) {
  const texts = useMessages().compare;
  const tests = useQuery(blindTestsQuery);
  const open = openTests(tests.data ?? []);
  const id = state.blind || nextTest(open, null)?.id;
  const { blind, setBlind } = state;
  useEffect(() => {
    if (blind === "" && id !== undefined) setBlind(id); // stays after the vote, for its names
  }, [blind, id, setBlind]);
  const one = useQuery({ ...blindTestQuery(id ?? ""), enabled: id !== undefined });
  if (tests.isPending || (id !== undefined && one.isPending)) return <Loading />;
  const failure = tests.error ?? one.error;
  if (failure)
    return (
      <ErrorState error={failure} onRetry={() => void tests.refetch().then(() => one.refetch())} />
    );
  if (id === undefined || !one.data)
    return (
      <Empty
        icon={<Vote size={28} aria-hidden />}
        title={texts.blindNone}
        text={texts.blindNoneText}
      />
    );
  const next = nextTest(open, id);
  return (
    <Test
      key={id}
      test={one.data}
      open={open}
      onOpen={state.setBlind}
      look={state.look}
      onLook={state.setLook}
      onNext={next ? () => state.setBlind(next.id) : null}
    />
  );
}
