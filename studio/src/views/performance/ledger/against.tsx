import { useQuery } from "@tanstack/react-query";
import { useId } from "react";
import { useSearchParams } from "wouter";
import { duration, moment } from "@/lib/format";
import { useMessages } from "@/messages";
import { Section } from "@/ui/card";
import { type Column, DataTable } from "@/ui/data-table";
import { Select } from "@/ui/field";
import { ErrorState, Skeleton } from "@/ui/states";
import { type Difference, differences } from "./phases";
import { againstQuery, type JobRecord, ledgerQuery, othersQuery } from "./queries";
import { VerdictTable, type VerdictValue } from "./verdict";

/** This job beside another: the verdict, and in what their environments differ. */
export function Against({ record }: { record: JobRecord }) {
  const texts = useMessages().performance.panels.ledger;
  const id = useId();
  const [params, setParams] = useSearchParams();
  const against = params.get("against") ?? "";
  const { data: others } = useQuery(othersQuery(record.job_type));
  const choose = (job: string) =>
    setParams(
      (known) => {
        if (job) known.set("against", job);
        else known.delete("against");
        return known;
      },
      { replace: true },
    );
  const options = (others?.data ?? [])
    .filter((each) => each.job_id !== record.id && each.is_success)
    .map((each) => ({
      value: each.job_id,
      label: texts.other(moment(each.at), duration(each.run_s), each.state),
    }));
  const isListed = options.some(({ value }) => value === against);
  return (
    <Section id="against" title={texts.against} text={texts.againstText}>
      <label htmlFor={id} className="sr-only">
        {texts.againstLabel}
      </label>
      <Select
        id={id}
        value={against}
        onChange={(event) => choose(event.target.value)}
        className="max-w-md"
        options={[
          { value: "", label: options.length === 0 ? texts.noOther : texts.chooseOther },
          ...(against && !isListed ? [{ value: against, label: against }] : []),
          ...options,
        ]}
      />
      {against && <Compared record={record} against={against} />}
    </Section>
  );
}

function Compared({ record, against }: { record: JobRecord; against: string }) {
  const verdict = useQuery(againstQuery(record.id, against));
  const other = useQuery(ledgerQuery(against));
  const found = verdict.data?.against as VerdictValue | null | undefined;
  return (
    <div className="mt-4 flex flex-col gap-5">
      {verdict.error && <ErrorState error={verdict.error} />}
      {verdict.isPending && <Skeleton className="h-32" />}
      {found && <VerdictTable verdict={found} />}
      {other.data && (
        <Environments
          rows={[
            ...differences(other.data.record.environment, record.environment),
            ...differences(
              { setting: other.data.record.workload, state: other.data.record.state },
              { setting: record.workload, state: record.state },
            ),
          ]}
        />
      )}
    </div>
  );
}

function Environments({ rows }: { rows: readonly Difference[] }) {
  const texts = useMessages().performance.panels.ledger;
  if (rows.length === 0) return <p className="text-[13px] text-muted">{texts.sameEnvironment}</p>;
  const columns: Column<Difference>[] = [
    { key: "path", name: texts.what, value: (row) => row.path.replaceAll("_", " ") },
    { key: "before", name: texts.otherJob, value: (row) => row.before },
    { key: "after", name: texts.thisJob, value: (row) => row.after },
  ];
  return (
    <DataTable
      caption={texts.differences}
      columns={columns}
      rows={rows}
      rowKey={(row) => row.path}
      isCaptionShown
    />
  );
}
