// What the service finds wrong with a request, by the field that it is about.

import { ApiError } from "@/api/client";
import { SETTINGS } from "@/lib/settings";

export interface Problem {
  /** The request's name of the value; null: of no field of the form. */
  param: string | null;
  text: string;
}

const OF_THE_REQUEST = [400, 409, 413, 422];
const FIELDS: readonly string[] = ["prompt", "negative_prompt", "seed", ...SETTINGS];

/** The value's name in front of the message is the field's label already. */
function sentence(error: ApiError): string {
  const prefix = `${error.param}: `;
  const message =
    error.param && error.message.startsWith(prefix)
      ? error.message.slice(prefix.length)
      : error.message;
  return error.hint ? `${message} ${error.hint}` : message;
}

/** What went wrong, as a sentence or two. */
export function errorText(error: unknown): string {
  return error instanceof ApiError ? sentence(error) : String(error);
}

/** A refused request as a problem of it; null where something else was in the way. */
export function problemOf(error: unknown): Problem | null {
  if (!(error instanceof ApiError) || !OF_THE_REQUEST.includes(error.status)) return null;
  const param = error.param?.split(".").at(-1) ?? null;
  return { param: param && FIELDS.includes(param) ? param : null, text: sentence(error) };
}
