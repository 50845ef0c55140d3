// Every text of the studio is a message here. A language is a module of the same shape as `en`,
// loaded when a browser asks for it; see docs/guides/studio.md for how to add one.
import { createContext, useContext } from "react";
import { numberFormat, pluralRules } from "@/lib/intl";
import { en } from "@/messages/en";

export type Messages = typeof en;

const LANGUAGES: Record<string, () => Promise<Messages>> = {
  en: async () => en,
};

/** The best language that is there for what the browser prefers. */
export async function loadMessages(
  preferred: readonly string[],
): Promise<{ language: string; messages: Messages }> {
  for (const wish of preferred) {
    const language = wish.toLowerCase().split("-")[0] ?? "";
    const load = LANGUAGES[language];
    if (load) return { language, messages: await load() };
  }
  return { language: "en", messages: en };
}

const MessagesContext = createContext<Messages>(en);
export const MessagesProvider = MessagesContext.Provider;

export function useMessages(): Messages {
  return useContext(MessagesContext);
}

/** "1 job", "3 jobs": `forms` by CLDR plural category. */
export function plural(count: number, forms: { one: string; other: string }): string {
  const language = globalThis.document?.documentElement.lang || "en";
  const category = pluralRules(language).select(count);
  return `${numberFormat(language).format(count)} ${category === "one" ? forms.one : forms.other}`;
}
