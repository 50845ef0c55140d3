// Addresses of files are signed and expire: a shown one is kept while it works, then renewed.
import { queryOptions, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";
import { type Asset, answer, api } from "@/api/client";

const MARGIN_MS = 60_000;
const MOST_TRIES = 2;

export function expiresSoon(asset: Asset, nowMs: number = Date.now()): boolean {
  return Date.parse(asset.url_expires_at) - nowMs < MARGIN_MS;
}

/** What to show: the known one as long as it works, since another address is loaded anew. */
export function choose(shown: Asset, given: Asset, nowMs: number = Date.now()): Asset {
  if (shown.id !== given.id) return given;
  return expiresSoon(shown, nowMs) && given.url_expires_at > shown.url_expires_at ? given : shown;
}

export const isVideo = (asset: Asset): boolean => asset.media_type.startsWith("video/");

const assetQuery = (id: string) =>
  queryOptions({
    queryKey: ["jobs", "asset", id] as const,
    queryFn: ({ signal }) =>
      answer(api.GET("/api/v1/assets/{asset_id}", { params: { path: { asset_id: id } }, signal })),
    gcTime: 60_000,
  });

interface FreshAsset {
  asset: Asset;
  /** No address of it works. */
  isBroken: boolean;
  /** Call when its file did not load. */
  renew(): void;
}

export function useFreshAsset(given: Asset): FreshAsset {
  const client = useQueryClient();
  const [shown, setShown] = useState(given);
  const [broken, setBroken] = useState<string | null>(null);
  const tries = useRef(0);
  const asset = choose(shown, given);
  if (asset !== shown) setShown(asset);
  const renew = useCallback(() => {
    tries.current += 1;
    if (tries.current > MOST_TRIES) return setBroken(given.id);
    client.fetchQuery(assetQuery(given.id)).then(setShown, () => setBroken(given.id));
  }, [client, given.id]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: once for each file
  useEffect(() => {
    tries.current = 0;
    if (expiresSoon(asset)) renew();
  }, [given.id]);
  return { asset, isBroken: broken === given.id, renew };
}
