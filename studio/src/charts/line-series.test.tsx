import { fireEvent, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, it, vi } from "vitest";
import { LineSeries } from "@/charts/line-series";

const points = [1, 2, 3].map((value) => ({
  id: `job_${value}`,
  at: `2026-01-0${value}T00:00:00Z`,
  value,
}));

function show(extra: Partial<Parameters<typeof LineSeries>[0]> = {}) {
  render(
    <LineSeries
      points={points}
      label="Total"
      describe={(point) => `${point.value} s`}
      {...extra}
    />,
  );
  return screen.getByRole("slider", { name: "Total" });
}

it("is read and opened by keyboard", async () => {
  const onSelect = vi.fn();
  const slider = show({ onSelect });
  slider.focus();
  expect(slider.getAttribute("aria-valuetext")).toBe("3 s");
  await userEvent.keyboard("{ArrowLeft}");
  expect(slider.getAttribute("aria-valuetext")).toBe("2 s");
  await userEvent.keyboard("{Home}{ArrowLeft}");
  expect(slider.getAttribute("aria-valuenow")).toBe("1");
  await userEvent.keyboard("{Enter}");
  expect(onSelect).toHaveBeenCalledWith(points[0]);
});

it("has a button for each change", async () => {
  const onSelectMark = vi.fn();
  show({
    onSelectMark,
    marks: [
      {
        id: "c-1",
        pointId: "job_2",
        at: "2026-01-02T00:00:00Z",
        text: "+21 %",
        title: "Slower from 2 January on",
        tone: "bad",
      },
    ],
  });
  fireEvent.click(screen.getByRole("button", { name: "Slower from 2 January on" }));
  expect(onSelectMark).toHaveBeenCalledOnce();
});

it("stands without points", () => {
  expect(show({ points: [] }).getAttribute("aria-valuetext")).toBe("");
});
