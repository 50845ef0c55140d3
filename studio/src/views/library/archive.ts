import { useMutation } from "@tanstack/react-query";
import { useReport } from "@/api/actions";
import { type Asset, answer, api } from "@/api/client";
import { saveUrl } from "@/lib/export";
import { chunks } from "@/views/library/deletion";

const MOST_AT_ONCE = 500;

/** Save the files of several jobs: one ZIP for each 500. */
export function useArchive() {
  const report = useReport();
  return useMutation({
    mutationFn: async (ids: readonly string[]) => {
      for (const job_ids of chunks(ids, MOST_AT_ONCE)) {
        const { url } = await answer(api.POST("/api/v1/archives", { body: { job_ids } }));
        saveUrl("ourvidz.zip", url);
      }
    },
    onError: report,
  });
}

/** Save one file, under the name that the service gives it. */
export function useDownload() {
  const report = useReport();
  return useMutation({
    mutationFn: async (asset: Asset) => {
      const { url } = await answer(
        api.GET("/api/v1/assets/{asset_id}/url", {
          params: { path: { asset_id: asset.id }, query: { is_download: true } },
        }),
      );
      saveUrl("", url);
    },
    onError: report,
  });
}
