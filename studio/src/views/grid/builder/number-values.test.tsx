import { render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { useState } from "react";
import { expect, it } from "vitest";
import { TipProvider } from "@/ui/tooltip";
import { NumberValues } from "@/views/grid/builder/number-values";
import type { Numbers, Value } from "@/views/grid/logic/parameters";

const frames: Numbers = {
  kind: "numbers",
  isInteger: true,
  min: 5,
  max: 241,
  step: 4,
  origin: 5,
  unit: "frames",
};

function Editor() {
  const [values, setValues] = useState<Value[]>([33]);
  return (
    <TipProvider>
      <NumberValues
        axis="num_frames"
        name="Frames"
        legal={frames}
        values={values}
        onChange={setValues}
      />
    </TipProvider>
  );
}

const shown = () =>
  within(screen.getByRole("list", { name: "Values of Frames" }))
    .getAllByRole("listitem")
    .map((item) => item.textContent);

it("takes ranges, and says what it moved to legal values", async () => {
  const user = userEvent.setup();
  render(<Editor />);
  await user.type(screen.getByLabelText("Add values of Frames"), "16 to 48 by 16{Enter}");
  expect(shown()).toEqual(["17", "33", "49"]);
  expect(screen.getByRole("status").textContent).toContain("16 to 17");
});

it("keeps what it can't read, and says so", async () => {
  const user = userEvent.setup();
  render(<Editor />);
  const input = screen.getByLabelText("Add values of Frames");
  await user.type(input, "many{Enter}");
  expect(shown()).toEqual(["33"]);
  expect(screen.getByText("Not a number: many.")).toBeTruthy();
  expect(input.getAttribute("aria-invalid")).toBe("true");
});

it("lets values be removed by name", async () => {
  const user = userEvent.setup();
  render(<Editor />);
  await user.click(screen.getByRole("button", { name: "Remove 33" }));
  expect(screen.queryByRole("list", { name: "Values of Frames" })).toBeNull();
});
