import type { Job } from "@/api/client";
import { type Fact, settingFacts } from "@/media";
import { type Messages, useMessages } from "@/messages";
import { Section } from "@/ui/card";
import { cx } from "@/ui/cx";
import { Switch } from "@/ui/field";
import { type SettingRow, settingRows } from "@/views/compare/logic/settings";
import { Tag } from "@/views/compare/stage/tag";

interface Props {
  jobs: readonly Job[];
  /** Names by job, as everywhere on the page. */
  nameOf(job: Job): string;
  hasAll: boolean;
  onAll(hasAll: boolean): void;
}

function factsOf(job: Job, messages: Messages): Fact[] {
  const facts = settingFacts(job, messages);
  if (job.negative_prompt)
    facts.push({
      key: "negative_prompt",
      name: messages.parameters.negative_prompt,
      value: job.negative_prompt,
    });
  return facts;
}

export function SettingsTable({ jobs, nameOf, hasAll, onAll }: Props) {
  const messages = useMessages();
  const texts = messages.compare;
  const rows = settingRows(jobs.map((job) => factsOf(job, messages)));
  const shown = hasAll ? rows : rows.filter((row) => row.isDifferent);
  return (
    <Section
      id="settings"
      title={texts.settings}
      actions={
        <Switch isOn={!hasAll} onChange={(isOn) => onAll(!isOn)} label={texts.onlyDifferences} />
      }
    >
      {shown.length === 0 ? (
        <p className="text-sm text-muted">{texts.noDifferences}</p>
      ) : (
        <section
          className="-mx-1 overflow-x-auto px-1"
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
          tabIndex={0}
          aria-label={texts.settingsTable}
        >
          <table className="w-full border-collapse text-[13px]">
            <caption className="sr-only">{texts.settingsTable}</caption>
            <thead>
              <tr className="border-b border-line text-left text-xs text-muted">
                <th scope="col" className="py-1.5 pr-3 font-medium">
                  {texts.setting}
                </th>
                {jobs.map((job) => (
                  <th key={job.id} scope="col" className="min-w-28 px-3 py-1.5 font-medium">
                    <span className="sr-only">{texts.result(nameOf(job))}</span>
                    <span aria-hidden>
                      <Tag name={nameOf(job)} className="inline-grid" />
                    </span>
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {shown.map((row) => (
                <Row key={row.key} row={row} jobs={jobs} />
              ))}
            </tbody>
          </table>
        </section>
      )}
    </Section>
  );
}

function Row({ row, jobs }: { row: SettingRow; jobs: readonly Job[] }) {
  const texts = useMessages().compare;
  return (
    <tr className="border-b border-line last:border-0">
      <th scope="row" className="py-2 pr-3 text-left align-top font-normal text-muted">
        {row.name}
      </th>
      {jobs.map((job, place) => {
        const isOther = row.isOther[place] ?? false;
        return (
          <td
            key={job.id}
            className={cx(
              "numeric max-w-72 px-3 py-2 align-top break-words",
              isOther && "font-semibold",
            )}
          >
            {isOther && (
              <span className="mr-1.5 text-accent-ink">
                <span aria-hidden>≠</span>
                <span className="sr-only">{texts.differs}: </span>
              </span>
            )}
            {row.values[place] ?? <span className="text-muted">{texts.none}</span>}
          </td>
        );
      })}
    </tr>
  );
}
