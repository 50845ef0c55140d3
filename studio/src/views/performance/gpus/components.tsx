import { bytes, title } from "@/lib/format";
import { useMessages } from "@/messages";
import { Badge, type Tone } from "@/ui/badge";
import { type Column, DataTable } from "@/ui/data-table";
import { type PlacedComponent, sortedComponents } from "./memory";

const TONES: Record<PlacedComponent["place"], Tone> = {
  device: "accent",
  host: "good",
  page_cache: "neutral",
  disk: "neutral",
};

/** Where each part of each model is. */
export function Components({ components }: { components: readonly PlacedComponent[] }) {
  const texts = useMessages().performance.panels.gpus;
  const columns: Column<PlacedComponent>[] = [
    {
      key: "model",
      name: texts.model,
      value: (row) => row.model,
      cell: (row) => <span className="whitespace-nowrap">{row.model}</span>,
    },
    {
      key: "component",
      name: texts.component,
      value: (row) => row.name,
      cell: (row) => (
        <span className="whitespace-nowrap">
          {texts.componentNames[row.name as keyof typeof texts.componentNames] ?? title(row.name)}
        </span>
      ),
    },
    {
      key: "place",
      name: texts.place,
      value: (row) => texts.places[row.place],
      cell: (row) => <Badge tone={TONES[row.place]}>{texts.places[row.place]}</Badge>,
    },
    {
      key: "bytes",
      name: texts.size,
      value: (row) => row.bytes,
      cell: (row) => bytes(row.bytes),
      isNumeric: true,
    },
  ];
  return (
    <DataTable
      caption={texts.components}
      columns={columns}
      rows={sortedComponents(components)}
      rowKey={(row) => `${row.model}/${row.name}/${row.place}`}
    />
  );
}
