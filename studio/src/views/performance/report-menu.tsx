import { FileText } from "lucide-react";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { Menu } from "@/ui/menu";

const open = (path: string) => window.open(`/api/v1/performance/${path}`, "_blank", "noopener");

/** The report and the digests, as the service writes them. */
export function ReportMenu() {
  const messages = useMessages().performance.report;
  return (
    <Menu
      trigger={
        <Button size="sm" icon={<FileText size={15} />}>
          {messages.open}
        </Button>
      }
      items={[
        { label: messages.html, onSelect: () => open("report?format=html") },
        { label: messages.markdown, onSelect: () => open("report?format=markdown") },
        { label: messages.json, onSelect: () => open("report?format=json") },
        null,
        { label: messages.week, onSelect: () => open("digest?format=html&period=week") },
        { label: messages.month, onSelect: () => open("digest?format=html&period=month") },
      ]}
    />
  );
}
