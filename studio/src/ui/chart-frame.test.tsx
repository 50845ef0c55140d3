import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, it, vi } from "vitest";
import { ChartFrame } from "@/ui/chart-frame";
import { TipProvider } from "@/ui/tooltip";

vi.stubGlobal(
  "ResizeObserver",
  class {
    observe() {}
    unobserve() {}
    disconnect() {}
  },
);
Element.prototype.hasPointerCapture = () => false;
Element.prototype.scrollIntoView = () => undefined;

async function offeredFor(body: React.ReactNode): Promise<string[]> {
  render(
    <TipProvider>
      <ChartFrame
        title="Waits"
        summary="One value."
        columns={[{ key: "a", name: "A", value: (row: number) => row }]}
        rows={[1]}
        rowKey={String}
      >
        {body}
      </ChartFrame>
    </TipProvider>,
  );
  expect(screen.queryByRole("table")).toBeNull(); // drawn only when it is asked for
  await userEvent.click(screen.getByRole("button", { name: "Download: Waits" }));
  return screen.getAllByRole("menuitem").map((item) => item.textContent ?? "");
}

it("offers a picture of what is drawn", async () => {
  expect(await offeredFor(<svg role="img" aria-label="x" />)).toEqual([
    "Export as CSV",
    "Export as SVG",
  ]);
});

it("offers a live canvas as PNG", async () => {
  expect(await offeredFor(<canvas />)).toEqual(["Export as CSV", "Export as PNG"]);
});

it("offers no picture where boxes are drawn: an icon beside them is none", async () => {
  const boxes = (
    <div>
      <svg className="lucide lucide-check" aria-hidden />
    </div>
  );
  expect(await offeredFor(boxes)).toEqual(["Export as CSV"]);
});
