// A request whose answer was lost may have been done: pressing again asks with the same key.
import { ApiError } from "@/api/client";
import { newId } from "@/lib/ids";

const MOST_KEPT = 20;
const unanswered = new Map<string, string>();

/** Send a request with an idempotency key, which stays the same until the service has answered. */
export async function once<Answer>(
  path: string,
  body: unknown,
  send: (key: string) => Promise<Answer>,
): Promise<Answer> {
  const name = JSON.stringify([path, body]);
  const key = unanswered.get(name) ?? newId();
  unanswered.delete(name); // two presses at once are two wishes
  try {
    return await send(key);
  } catch (error) {
    const wasRefused = error instanceof ApiError && error.status >= 400 && error.status < 500;
    if (!wasRefused) keep(name, key);
    throw error;
  }
}

function keep(name: string, key: string): void {
  unanswered.set(name, key);
  for (const oldest of unanswered.keys()) {
    if (unanswered.size <= MOST_KEPT) return;
    unanswered.delete(oldest);
  }
}

/** Forget what was not answered: somebody else may sit here now. */
export function forgetUnanswered(): void {
  unanswered.clear();
}
