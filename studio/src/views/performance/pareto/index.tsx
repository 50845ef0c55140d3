import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useSearchParams } from "wouter";
import { number, percent, title } from "@/lib/format";
import { type Messages, useMessages } from "@/messages";
import { Section } from "@/ui/card";
import { ChartFrame } from "@/ui/chart-frame";
import { DataTable } from "@/ui/data-table";
import { Select } from "@/ui/field";
import { Empty, ErrorState, Skeleton } from "@/ui/states";
import { Segmented } from "@/ui/tabs";
import { LinkButton } from "@/views/performance/link-button";
import { paretoFront } from "./front";
import { columnsOf } from "./point-table";
import { chosenRows, type Point, pointsOf } from "./points";
import { judgedQuery, type MatrixRow, ownMatrixQuery, ratingsQuery } from "./queries";
import { type Placed, Scatter } from "./scatter";
import { Votes } from "./votes";

type Measure = "stars" | "follows";

/** Settings by what they take and how good they are: measured, both. */
export default function ParetoPanel() {
  const { data, error, refetch } = useQuery(ownMatrixQuery);
  const texts = useMessages().performance.panels.pareto;
  const [params, setParams] = useSearchParams();
  const types = useMemo(() => comparedTypes(data?.rows ?? []), [data]);
  const wish = params.get("job_type");
  const jobType = types.find(({ name }) => name === wish)?.name ?? types[0]?.name ?? null;
  const set = (name: string, value: string) =>
    setParams(
      (known) => {
        known.set(name, value);
        return known;
      },
      { replace: true },
    );
  const measure: Measure = params.get("quality") === "follows" ? "follows" : "stars";
  return (
    <div className="flex flex-col gap-4">
      <Section
        id="pareto"
        title={texts.title}
        text={texts.text}
        actions={
          jobType && (
            <>
              <Select
                aria-label={texts.jobType}
                value={jobType}
                onChange={(event) => set("job_type", event.target.value)}
                options={types.map(({ name, n }) => ({
                  value: name,
                  label: texts.typeOf(title(name), n),
                }))}
                className="w-auto!"
              />
              <Segmented<Measure>
                value={measure}
                onChange={(value) => set("quality", value)}
                label={texts.quality}
                options={[
                  { value: "stars", label: texts.stars },
                  { value: "follows", label: texts.follows },
                ]}
              />
            </>
          )
        }
      >
        {error && !data ? (
          <ErrorState error={error} onRetry={() => void refetch()} />
        ) : !data ? (
          <Skeleton className="h-96" />
        ) : jobType === null ? (
          <Empty title={texts.empty} text={texts.emptyHint} />
        ) : (
          <Body
            rows={data.rows.filter((row) => row.job_type === jobType)}
            jobType={jobType}
            measure={measure}
          />
        )}
      </Section>
      <Votes />
    </div>
  );
}

/** Job types that have run, those with most settings first. */
function comparedTypes(rows: readonly MatrixRow[]): { name: string; n: number }[] {
  return [...new Set(rows.map((row) => row.job_type))]
    .map((name) => ({ name, n: chosenRows(rows.filter((row) => row.job_type === name)).length }))
    .filter(({ n }) => n > 0)
    .sort((a, b) => b.n - a.n);
}

/** "25 steps", "flow shift 3": what tells settings apart. */
function settingWords(name: string, value: unknown, messages: Messages): string {
  const { steps, frames, images } = messages.performance.settings;
  const counted = { num_inference_steps: steps, num_frames: frames, num_images: images };
  if (name in counted && typeof value === "number")
    return counted[name as keyof typeof counted](value);
  const known = (messages.parameters as Record<string, string>)[name] ?? title(name);
  return `${known.toLowerCase()} ${String(value ?? "–")}`;
}

interface BodyProps {
  rows: readonly MatrixRow[];
  jobType: string;
  measure: Measure;
}

function Body({ rows, jobType, measure }: BodyProps) {
  const messages = useMessages();
  const texts = messages.performance.panels.pareto;
  const ratings = useQuery(ratingsQuery(jobType));
  const judged = useQuery(judgedQuery);
  const points = useMemo(() => {
    const words = (name: string, value: unknown) => settingWords(name, value, messages);
    return pointsOf(rows, ratings.data?.data ?? [], judged.data ?? [], words);
  }, [rows, ratings.data, judged.data, messages]);
  const placed = points.flatMap((point): Placed[] => {
    const quality = point[measure];
    return quality === null ? [] : [{ point, quality }];
  });
  const unrated = points.filter((point) => point[measure] === null);
  const best = new Set(
    paretoFront(
      placed.map(({ point, quality }) => ({
        id: point.id,
        seconds: point.seconds.value,
        quality: quality.value,
      })),
    ).map(({ id }) => id),
  );
  const sorted = [...points].sort((a, b) => a.seconds.value - b.seconds.value);
  const columns = columnsOf(texts, best);
  const summary = texts.summary(points.length, best.size, unrated.length);
  return (
    <div className="flex flex-col gap-5">
      {unrated.length > 0 && <NotMeasured points={unrated} measure={measure} jobType={jobType} />}
      {placed.length > 0 && (
        <ChartFrame
          title={texts.chart(title(jobType))}
          summary={summary}
          columns={columns}
          rows={sorted}
          rowKey={(row) => row.id}
        >
          <Scatter
            placed={placed}
            unrated={unrated}
            label={summary}
            qualityName={texts[measure]}
            format={(value) => (measure === "stars" ? number(value, 1) : percent(value))}
          />
          <p className="mt-1 text-xs text-muted">{texts.legend}</p>
        </ChartFrame>
      )}
      <DataTable
        caption={texts.table}
        columns={columns}
        rows={sorted}
        rowKey={(row) => row.id}
        isCaptionShown
      />
    </div>
  );
}

interface NotMeasuredProps {
  points: readonly Point[];
  measure: Measure;
  jobType: string;
}

/** Plainly: what has no quality yet, and how it gets one. */
function NotMeasured({ points, measure, jobType }: NotMeasuredProps) {
  const texts = useMessages().performance.panels.pareto;
  return (
    <div className="flex flex-wrap items-center justify-between gap-3 rounded-xl border border-line bg-sunken px-4 py-3 text-[13px]">
      <p className="min-w-0 flex-1 basis-64">
        <span className="font-medium">{texts.notMeasured(points.length)}</span>{" "}
        <span className="text-muted">{texts.howTo[measure]}</span>
      </p>
      {measure === "stars" ? (
        <span className="flex gap-2">
          <LinkButton href="/library">{texts.rate}</LinkButton>
          <LinkButton href="/compare">{texts.vote}</LinkButton>
        </span>
      ) : (
        <LinkButton href={`/performance/protocol?job_type=${encodeURIComponent(jobType)}`}>
          {texts.run}
        </LinkButton>
      )}
    </div>
  );
}
