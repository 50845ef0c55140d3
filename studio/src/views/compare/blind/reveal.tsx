import { ArrowRight, Check } from "lucide-react";
import { Link } from "wouter";
import type { Schemas } from "@/api/client";
import { title } from "@/lib/format";
import { useShortcut } from "@/lib/shortcuts";
import { type Messages, useMessages } from "@/messages";
import { compareUrl } from "@/stores/comparison";
import { Badge } from "@/ui/badge";
import { Button } from "@/ui/button";
import { differing } from "@/views/compare/blind/logic";
import type { Choice } from "@/views/compare/queries";
import { Tag } from "@/views/compare/stage/tag";

interface Props {
  names: Schemas["Names"];
  choice: Choice;
  onNext: (() => void) | null;
}

export function settingName(name: string, messages: Messages): string {
  return messages.parameters[name as keyof Messages["parameters"]] ?? title(name);
}

/** Which was which, once the vote is given. */
export function Reveal({ names, choice, onNext }: Props) {
  const messages = useMessages();
  const texts = messages.compare;
  const rows = differing(names.settings_a, names.settings_b);
  useShortcut({ keys: "n", label: texts.next, scope: "here" }, () => onNext?.(), onNext !== null);
  return (
    <div className="mx-auto flex max-w-2xl flex-col gap-4">
      <p className="text-sm">
        {choice === "tie" ? texts.votedTie : texts.voted(choice === "a" ? texts.a : texts.b)}
      </p>
      {rows.length === 0 ? (
        <p className="text-sm text-muted">{texts.noSettingsDiffer}</p>
      ) : (
        <table className="w-full border-collapse text-[13px]">
          <caption className="sr-only">{texts.settings}</caption>
          <thead>
            <tr className="border-b border-line text-left">
              <th scope="col" className="py-2 pr-3 text-xs font-medium text-muted">
                {texts.setting}
              </th>
              <SideHead name={texts.a} isChosen={choice === "a"} />
              <SideHead name={texts.b} isChosen={choice === "b"} />
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row.name} className="border-b border-line last:border-0">
                <th scope="row" className="py-2 pr-3 text-left font-normal text-muted">
                  {settingName(row.name, messages)}
                </th>
                <td className="numeric px-3 py-2 break-words">{row.a}</td>
                <td className="numeric px-3 py-2 break-words">{row.b}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <div className="flex flex-wrap items-center justify-end gap-2">
        <Link
          href={compareUrl([names.job_a, names.job_b])}
          className="mr-auto inline-flex h-9 items-center rounded-lg text-sm font-medium text-accent-ink underline-offset-4 hover:underline"
        >
          {texts.compareThem}
        </Link>
        {!onNext && <p className="text-sm text-muted">{texts.last}</p>}
        {onNext && (
          <Button variant="primary" onClick={onNext}>
            {texts.next}
            <ArrowRight size={16} aria-hidden />
          </Button>
        )}
      </div>
    </div>
  );
}

function SideHead({ name, isChosen }: { name: string; isChosen: boolean }) {
  const texts = useMessages().compare;
  return (
    <th scope="col" className="px-3 py-2 font-medium">
      <span className="flex flex-wrap items-center gap-2">
        <Tag name={name} />
        {isChosen && (
          <Badge tone="good">
            <Check size={13} aria-hidden />
            {texts.chosen}
          </Badge>
        )}
      </span>
    </th>
  );
}
