import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Job } from "@/api/client";
import { en } from "@/messages/en";
import { tellEnd } from "@/shell/notifications";
import { usePreferences } from "@/stores/preferences";
import { useToasts } from "@/ui/toast";

const done = {
  id: "job_1",
  kind: "generate",
  state: "succeeded",
  job_type: "video_fast",
  prompt: "a red circle",
} as Job;

beforeEach(() => {
  usePreferences.setState({ hasNotifications: true });
  vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
});
afterEach(() => {
  useToasts.getState().clear();
  usePreferences.setState({ hasNotifications: false });
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

const toasts = () => useToasts.getState().toasts.map(({ detail }) => detail);

it("tells it by the system where nobody looks", () => {
  const said: string[] = [];
  vi.stubGlobal(
    "Notification",
    class {
      constructor(_: string, { body }: NotificationOptions) {
        said.push(body ?? "");
      }
    },
  );
  tellEnd(done, en, vi.fn());
  expect(said).toEqual(["a red circle"]);
  expect(toasts()).toEqual([]);
});

it("tells it on the page where the browser lets no page notify, as Android's do", () => {
  vi.stubGlobal(
    "Notification",
    class {
      constructor() {
        throw new TypeError(
          "Illegal constructor. Use ServiceWorkerRegistration.showNotification()",
        );
      }
    },
  );
  tellEnd(done, en, vi.fn());
  expect(toasts()).toEqual(["a red circle"]);
});
