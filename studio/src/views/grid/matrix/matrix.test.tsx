import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, it, vi } from "vitest";
import type { Job } from "@/api/client";
import { TipProvider } from "@/ui/tooltip";
import { axesOf, cellsOf, layoutOf } from "@/views/grid/logic/cells";
import { Matrix } from "@/views/grid/matrix/matrix";

const job = (id: string, steps: number, scheduler: string, over: Partial<Job> = {}): Job =>
  ({
    id,
    state: "queued",
    job_type: "sdxl_image_fast",
    media_type: "image/png",
    prompt: "a circle",
    is_held: false,
    is_cancel_requested: false,
    metadata: { grid: { num_inference_steps: steps, scheduler } },
    assets: [],
    progress: null,
    preview_url: null,
    error: null,
    ledger: null,
    phases_s: {},
    rating: null,
    ...over,
  }) as unknown as Job;

const error = { code: "out_of_memory", message: "The device has no memory left." } as Job["error"];
const progress = { phase: "denoise", percent: 42, eta_s: 3 } as Job["progress"];
const jobs = [
  job("1", 4, "euler"),
  job("2", 8, "euler", { state: "running", progress }),
  job("3", 4, "unipc", { state: "failed", error }),
];

function show(onChoose = vi.fn(), onOpen = vi.fn()) {
  const axes = axesOf(jobs);
  render(
    <QueryClientProvider client={new QueryClient()}>
      <TipProvider>
        <Matrix
          layout={layoutOf(axes, false)}
          point={{}}
          cells={cellsOf(jobs, axes)}
          scale={null}
          image={0}
          chosen={[]}
          onChoose={onChoose}
          onOpen={onOpen}
        />
      </TipProvider>
    </QueryClientProvider>,
  );
  return { onChoose, onOpen };
}

it("puts every job at its place, and says where there is none", () => {
  show();
  expect(screen.getAllByRole("columnheader").map((each) => each.textContent)).toEqual(["4", "8"]);
  const [, euler, unipc] = screen.getAllByRole("row");
  expect(within(euler as HTMLElement).getByText("Queued")).toBeTruthy();
  expect(within(euler as HTMLElement).getByText("42 %")).toBeTruthy();
  expect(within(euler as HTMLElement).getByText("Denoise")).toBeTruthy();
  expect(within(unipc as HTMLElement).getByText("No job")).toBeTruthy();
});

it("says why a cell failed and offers to try again", async () => {
  const user = userEvent.setup();
  const { onOpen } = show();
  expect(screen.getByText("The device has no memory left.")).toBeTruthy();
  expect(screen.getByRole("button", { name: "Retry" })).toBeTruthy();
  await user.click(screen.getByRole("button", { name: /^Open .*unipc/ }));
  expect(onOpen).toHaveBeenCalledWith("3");
});
