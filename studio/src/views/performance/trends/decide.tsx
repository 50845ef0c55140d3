import { type FormEvent, useState } from "react";
import { moment } from "@/lib/format";
import { useMessages } from "@/messages";
import { useSession } from "@/shell/session";
import { Button } from "@/ui/button";
import { Field, TextArea } from "@/ui/field";
import type { Change, Decision } from "@/views/performance/queries";
import { useDecisions } from "@/views/performance/trends/use-decisions";

type Verb = "accept" | "investigate" | "ignore";
const VERBS: readonly Verb[] = ["accept", "investigate", "ignore"];

/** What holds of a change, and how to decide or to take it back. */
export function DecisionBox({ change }: { change: Change }) {
  const { decide, undo } = useDecisions();
  const [wish, setWish] = useState<Verb | "undo" | null>(null);
  const words = useMessages().performance.decide;
  const { decision } = change;
  const close = () => setWish(null);
  return (
    <div className="mt-4 border-t border-line pt-3">
      {decision && <Decided decision={decision} />}
      {wish ? (
        <NoteForm
          title={wish === "undo" ? words.undoTitle : words[wish]}
          hint={wish === "undo" ? null : words.hints[wish]}
          submit={wish === "undo" ? words.undoSave : words.save}
          isBusy={decide.isPending || undo.isPending}
          onCancel={close}
          onSubmit={(note) => {
            if (wish !== "undo")
              decide.mutate({ verb: wish, target: change.id, note }, { onSuccess: close });
            else if (decision)
              undo.mutate({ id: decision.id, note, changeId: change.id }, { onSuccess: close });
          }}
        />
      ) : (
        <fieldset className="flex flex-wrap gap-2">
          <legend className="sr-only">{words.title}</legend>
          {decision && (
            <Button size="sm" onClick={() => setWish("undo")}>
              {words.undo}
            </Button>
          )}
          {VERBS.filter((verb) => verb !== decision?.verb && decision?.verb !== "accept").map(
            (verb) => (
              <Button key={verb} size="sm" title={words.hints[verb]} onClick={() => setWish(verb)}>
                {words[verb]}
              </Button>
            ),
          )}
        </fieldset>
      )}
    </div>
  );
}

function Decided({ decision }: { decision: Decision }) {
  const words = useMessages().performance.decide;
  return (
    <div className="mb-3 text-[13px]">
      <p>
        <span className="font-medium">{words.done[decision.verb]}</span>{" "}
        <span className="text-muted">{words.by(decision.author, moment(decision.at))}</span>
      </p>
      <p className="break-words">{decision.note}</p>
    </div>
  );
}

interface FormProps {
  title: string;
  hint: string | null;
  submit: string;
  isBusy: boolean;
  onSubmit(note: string): void;
  onCancel(): void;
}

/** Why: without it nothing is decided. */
export function NoteForm({ title, hint, submit, isBusy, onSubmit, onCancel }: FormProps) {
  const words = useMessages().performance.decide;
  const { session } = useSession();
  const [note, setNote] = useState("");
  const send = (event: FormEvent) => {
    event.preventDefault();
    if (note.trim()) onSubmit(note.trim());
  };
  return (
    <form
      aria-label={title}
      onSubmit={send}
      onKeyDown={(event) => event.key === "Escape" && onCancel()}
      className="max-w-xl"
    >
      <p className="text-[13px] font-medium">{title}</p>
      {hint && <p className="mb-2 text-[13px] text-muted">{hint}</p>}
      <Field label={words.note} hint={words.noteHint(session?.key_name ?? words.local)}>
        {(ids) => (
          <TextArea
            {...ids}
            autoFocus
            required
            rows={2}
            maxLength={4000}
            value={note}
            placeholder={words.notePlaceholder}
            onChange={(event) => setNote(event.target.value)}
          />
        )}
      </Field>
      <div className="mt-2.5 flex gap-2">
        <Button size="sm" type="submit" variant="primary" isBusy={isBusy} disabled={!note.trim()}>
          {submit}
        </Button>
        <Button size="sm" variant="ghost" onClick={onCancel}>
          {words.cancel}
        </Button>
      </div>
    </form>
  );
}
