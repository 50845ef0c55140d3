import type { Job } from "@/api/client";
import { title } from "@/lib/format";
import type { Messages } from "@/messages";
import { usePreferences } from "@/stores/preferences";
import { useToasts } from "@/ui/toast";

export async function askForNotifications(messages: Messages): Promise<void> {
  const granted =
    "Notification" in window && (await Notification.requestPermission()) === "granted";
  usePreferences.getState().setNotifications(granted);
  if (!granted) useToasts.getState().show({ tone: "bad", text: messages.app.notificationsBlocked });
}

/** Say that a job ended: by the system where the page is not looked at and it was wished for. */
export function tellEnd(job: Job, messages: Messages, open: () => void): void {
  if (job.state === "cancelled" || job.kind !== "generate") return;
  const name = title(job.job_type);
  const isDone = job.state === "succeeded";
  const text = isDone ? messages.app.jobDone(name) : messages.app.jobFailed(name);
  const isAway = document.visibilityState === "hidden";
  if (isAway && usePreferences.getState().hasNotifications && notify(text, job, open)) return;
  useToasts.getState().show({
    tone: isDone ? "good" : "bad",
    text,
    detail: isDone ? job.prompt.slice(0, 90) : (job.error?.message ?? undefined),
    action: { label: messages.actions.open, run: open },
    isPassing: true,
  });
}

/** Tell it by the system; false where the browser lets no page do that: Android's throw. */
function notify(text: string, job: Job, open: () => void): boolean {
  if (!("Notification" in window)) return false;
  try {
    const notice = new Notification(text, {
      body: job.prompt.slice(0, 140),
      tag: job.id,
      icon: "/favicon.svg",
    });
    notice.onclick = () => {
      window.focus();
      open();
      notice.close();
    };
    return true;
  } catch {
    return false;
  }
}
