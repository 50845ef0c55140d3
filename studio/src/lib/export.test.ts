import { describe, expect, it } from "vitest";
import { toCsv } from "@/lib/export";

interface Row {
  name: string;
  seconds: number | null;
}

const columns = [
  { key: "name", name: "Name", value: (row: Row) => row.name },
  { key: "seconds", name: "Seconds, total", value: (row: Row) => row.seconds },
];

describe("toCsv", () => {
  it("quotes what has to be, and leaves nothing a spreadsheet would run", () => {
    const rows = [
      { name: 'say "hi"', seconds: -1.5 },
      { name: "=1+2", seconds: null },
      { name: "plain", seconds: 2 },
    ];
    expect(toCsv(columns, rows)).toBe(
      'Name,"Seconds, total"\r\n"say ""hi""",-1.5\r\n\'=1+2,\r\nplain,2\r\n',
    );
  });
});
