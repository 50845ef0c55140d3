import { type FormEvent, useState } from "react";
import { ApiError } from "@/api/client";
import { useMessages } from "@/messages";
import { useSession } from "@/shell/session";
import { Button } from "@/ui/button";
import { Card } from "@/ui/card";
import { Field, Input } from "@/ui/field";

/** What stands in place of every page while the service wants a key. */
export function KeyPage() {
  const messages = useMessages();
  const { signIn } = useSession();
  const [key, setKey] = useState("");
  const [error, setError] = useState<string | null>(null);
  const [isBusy, setIsBusy] = useState(false);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setIsBusy(true);
    setError(null);
    try {
      await signIn(key.trim());
    } catch (problem) {
      setError(
        problem instanceof ApiError ? `${problem.message} ${problem.hint ?? ""}` : String(problem),
      );
    } finally {
      setIsBusy(false);
    }
  };
  return (
    <main className="grid min-h-dvh place-items-center px-4">
      <Card className="w-full max-w-md p-6">
        <img src="/favicon.svg" alt="" className="mb-4 size-10" />
        <h1 className="text-lg font-semibold">{messages.key.title}</h1>
        <p className="mt-1 mb-5 text-sm text-muted">{messages.key.text}</p>
        <form onSubmit={submit} className="flex flex-col gap-4">
          <Field label={messages.key.label} error={error} hint={messages.key.make}>
            {(ids) => (
              <Input
                {...ids}
                type="password"
                autoComplete="current-password"
                required
                placeholder={messages.key.placeholder}
                value={key}
                onChange={(event) => setKey(event.target.value)}
              />
            )}
          </Field>
          <Button type="submit" variant="primary" size="lg" isBusy={isBusy}>
            {messages.key.submit}
          </Button>
        </form>
      </Card>
    </main>
  );
}
