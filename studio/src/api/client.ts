import createClient, { type Middleware } from "openapi-fetch";
import type { components, paths } from "@/api/types.gen";

export type Schemas = components["schemas"];
export type Job = Schemas["JobAnswer"];
export type JobRequest = Schemas["JobRequest"];
export type Asset = Schemas["AssetAnswer"];
export type Catalogue = Schemas["CatalogueAnswer"];
export type JobType = Schemas["JobTypeAnswer"];
export type Preset = Schemas["PresetAnswer"];
export type Queue = Schemas["QueueAnswer"];
export type Worker = Schemas["WorkerAnswer"];

/** The service's error body: what went wrong, about which value, and what to do. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly param: string | null = null,
    readonly hint: string | null = null,
    readonly retryAfterS: number | null = null,
  ) {
    super(message);
    this.name = "ApiError";
  }

  /** Asking again may help: the network, the server or a limit was in the way. */
  get isPassing(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

type Listener = (error: ApiError) => void;
const unauthorized = new Set<Listener>();

/** Call `listener` whenever the service wants a key; returns how to stop. */
export function onUnauthorized(listener: Listener): () => void {
  unauthorized.add(listener);
  return () => unauthorized.delete(listener);
}

export async function errorOf(response: Response): Promise<ApiError> {
  let body: unknown = null;
  try {
    body = await response.clone().json();
  } catch {
    // Not ours: a proxy's page, say.
  }
  const detail = (body as { error?: Partial<Schemas["ourvidz__api__schemas__ErrorDetail"]> } | null)
    ?.error;
  const after = Number(response.headers.get("Retry-After"));
  return new ApiError(
    response.status,
    detail?.code ?? "unknown",
    detail?.message ?? `The service answered ${response.status}.`,
    detail?.param ?? null,
    detail?.hint ?? null,
    Number.isFinite(after) && after > 0 ? after : null,
  );
}

const raiseErrors: Middleware = {
  async onResponse({ response }) {
    if (response.ok) return undefined;
    const error = await errorOf(response);
    if (error.status === 401) for (const listener of unauthorized) listener(error);
    throw error;
  },
  onError({ error }) {
    if (error instanceof ApiError || (error instanceof DOMException && error.name === "AbortError"))
      return undefined;
    return new ApiError(0, "unreachable", "The service can't be reached.", null, null);
  },
};

// The key, where one is needed, is in a cookie that scripts can't read.
export const api = createClient<paths>({ baseUrl: "", credentials: "same-origin" });
api.use(raiseErrors);

/** Return what a call answered; errors were thrown already. */
export async function answer<T>(call: Promise<{ data?: T }>): Promise<T> {
  const { data } = await call;
  return data as T;
}
