import { useQuery } from "@tanstack/react-query";
import type { Schemas } from "@/api/client";
import { number } from "@/lib/format";
import { useMessages } from "@/messages";
import { Tip } from "@/ui/tooltip";
import { useDebounced, useLast } from "@/views/create/hooks";
import { tokensQuery } from "@/views/create/queries";

type Count = Schemas["TokenCount"];

const SETTLED_MS = 350;

/** One entry for encoders that say the same. */
function distinct(counts: readonly Count[]): Count[] {
  const isLike = (a: Count, b: Count) => a.num_tokens === b.num_tokens && a.limit === b.limit;
  return counts.filter((count, index) => counts.findIndex((each) => isLike(each, count)) === index);
}

export function useTokens(text: string, job_type: string, of: "prompt" | "negative_prompt") {
  const settled = useDebounced(text.trim(), SETTLED_MS);
  const texts =
    of === "prompt"
      ? { prompt: settled, job_type }
      : { prompt: "", negative_prompt: settled, job_type };
  const { data } = useQuery({ ...tokensQuery(texts), enabled: settled !== "" });
  const last = useLast(data);
  const isEmpty = text.trim() === "";
  return {
    counts: isEmpty ? [] : (last?.counts ?? []).filter((count) => count.text === of),
    unavailable: isEmpty ? null : (last?.unavailable ?? null),
  };
}

/** What a text takes in each encoder that reads it, beside the most that it reads. */
export function TokenCount({ counts, unavailable }: ReturnType<typeof useTokens>) {
  const messages = useMessages();
  const shown = distinct(counts);
  if (unavailable !== null && shown.length === 0)
    return (
      <Tip text={unavailable}>
        <button type="button" className="min-h-6 text-xs text-muted underline decoration-dotted">
          {messages.create.prompt.uncounted}
        </button>
      </Tip>
    );
  return (
    <span className="flex flex-wrap gap-x-3 text-xs">
      {shown.map((count) => (
        <OneCount key={count.encoder} count={count} isNamed={shown.length > 1} />
      ))}
    </span>
  );
}

function OneCount({ count, isNamed }: { count: Count; isNamed: boolean }) {
  const { prompt } = useMessages().create;
  const tokens = number(count.num_tokens);
  const text =
    count.limit === null ? prompt.tokensOnly(tokens) : prompt.tokens(tokens, number(count.limit));
  return (
    <span className={count.is_over ? "numeric font-medium text-warn" : "numeric text-muted"}>
      {isNamed && `${prompt.encoders[count.encoder] ?? count.encoder}: `}
      {text}
    </span>
  );
}

/** What happens to a text that is too long, or null. */
export function useOverText(counts: readonly Count[]): string | null {
  const { prompt } = useMessages().create;
  const over = counts.filter((count) => count.is_over && count.limit !== null);
  if (over.length === 0) return null;
  const worst = over.reduce((a, b) =>
    a.num_tokens - (a.limit ?? 0) >= b.num_tokens - (b.limit ?? 0) ? a : b,
  );
  const limit = worst.limit ?? 0;
  return prompt.over(number(limit), worst.num_tokens - limit);
}
