import { usePrefetchQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { useSearchParams } from "wouter";
import { onJobEnd } from "@/api/live";
import { catalogueQuery, newestQuery } from "@/api/queries";
import { useMessages } from "@/messages";
import { useDraft } from "@/stores/draft";
import { Page } from "@/ui/page";
import { ErrorState, Skeleton } from "@/ui/states";
import { TypePicker } from "@/views/create/choices";
import { Composer } from "@/views/create/composer";
import { Expected } from "@/views/create/expected";
import { FileGate } from "@/views/create/file";
import { FormProvider, useReplace } from "@/views/create/form";
import { EVERYTHING, Latest } from "@/views/create/latest-strip";
import { expectations, matrixQuery } from "@/views/create/queries";
import { ServiceProvider } from "@/views/create/service";
import { Settings } from "@/views/create/settings";
import { ActionBar } from "@/views/create/submit";

const COLUMNS = "grid items-start gap-4 @4xl:grid-cols-[minmax(0,1fr)_23rem] @4xl:gap-5";

export default function CreateView() {
  const messages = useMessages();
  const { data: catalogue, error, refetch } = useQuery(catalogueQuery);
  usePrefetchQuery(newestQuery(EVERYTHING));
  return (
    <Page title={messages.create.title}>
      <div className="@container max-md:pb-16">
        {catalogue ? (
          <FormProvider catalogue={catalogue}>
            <ServiceProvider>
              <Form />
            </ServiceProvider>
          </FormProvider>
        ) : error ? (
          <ErrorState error={error} onRetry={() => void refetch()} />
        ) : (
          <Pending />
        )}
        {/* Below a form that is not there yet, it would be pushed down. */}
        {(catalogue || error) && <Latest />}
      </div>
    </Page>
  );
}

function Form() {
  const picker = useRef<HTMLInputElement>(null);
  useLinkedPrompt();
  useFreshSpeeds();
  return (
    <>
      <FileGate input={picker} />
      <div className={COLUMNS}>
        <div className="flex min-w-0 flex-col gap-4 @4xl:gap-5">
          <Composer onPickFile={() => picker.current?.click()} />
          <TypePicker />
        </div>
        <div className="grid min-w-0 grid-cols-1 items-start gap-4 @2xl:grid-cols-2 @4xl:grid-cols-1 @4xl:gap-5">
          <Expected />
          <Settings />
        </div>
      </div>
      <ActionBar />
    </>
  );
}

function Pending() {
  const messages = useMessages();
  return (
    <div role="status" className={COLUMNS}>
      <span className="sr-only">{messages.states.loading}</span>
      <div className="flex flex-col gap-4">
        <Skeleton className="h-64 rounded-2xl" />
        <Skeleton className="h-56 rounded-2xl" />
      </div>
      <div className="flex flex-col gap-4">
        <Skeleton className="h-48 rounded-2xl" />
        <Skeleton className="h-72 rounded-2xl" />
      </div>
    </div>
  );
}

/** /?prompt=… fills the prompt once; the address then forgets it, so that a reload changes nothing. */
function useLinkedPrompt(): void {
  const messages = useMessages();
  const [params, setParams] = useSearchParams();
  const replace = useReplace();
  const prompt = params.get("prompt");
  const take = useRef(() => {});
  take.current = () => {
    if (prompt === null) return;
    const { draft } = useDraft.getState();
    if (draft.prompt !== prompt) replace({ ...draft, prompt }, messages.create.linked);
    setParams(
      (known) => {
        known.delete("prompt");
        return known;
      },
      { replace: true },
    );
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: once for every address
  useEffect(() => take.current(), [prompt]);
}

/** A job that ended is a measurement more, and one less to wait for. */
function useFreshSpeeds(): void {
  const client = useQueryClient();
  useEffect(
    () =>
      onJobEnd(() => {
        void client.invalidateQueries({ queryKey: matrixQuery.queryKey });
        void client.invalidateQueries({ queryKey: expectations });
      }),
    [client],
  );
}
