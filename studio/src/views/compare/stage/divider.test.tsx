import { fireEvent, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { createRef, useState } from "react";
import { expect, it } from "vitest";
import { Divider } from "@/views/compare/stage/divider";

function Divided() {
  const [percent, setPercent] = useState(50);
  return <Divider percent={percent} onChange={setPercent} pane={createRef()} names={["1", "2"]} />;
}

it("is a slider for keyboards and screen readers", async () => {
  const user = userEvent.setup();
  render(<Divided />);
  const slider = screen.getByRole("slider", { name: "Divider between the results" });
  await user.tab();
  expect(document.activeElement).toBe(slider);
  await user.keyboard("{ArrowRight}{PageUp}");
  expect(slider.getAttribute("aria-valuenow")).toBe("62");
  expect(slider.getAttribute("aria-valuetext")).toBe(
    "62 percent of result 1, the rest of result 2",
  );
  await user.keyboard("{Home}");
  expect(slider.getAttribute("aria-valuenow")).toBe("0");
  await user.keyboard("{End}");
  expect(slider.getAttribute("aria-valuenow")).toBe("100");
});

it("leaves other keys to the page", () => {
  render(<Divided />);
  const isFree = fireEvent.keyDown(screen.getByRole("slider"), { key: "t" });
  expect(isFree).toBe(true);
});
