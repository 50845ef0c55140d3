import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, it, vi } from "vitest";
import type { Job } from "@/api/client";
import { Stars } from "@/media/stars";

function shown(stars: number | null, onRate: (stars: number | null) => void): void {
  const job = { id: "job_1", rating: { stars, tags: [] } } as unknown as Job;
  render(
    <QueryClientProvider client={new QueryClient()}>
      <Stars job={job} onRate={onRate} />
    </QueryClientProvider>,
  );
}

it("gives the focus back after a press, so that arrow keys stay what they were", async () => {
  const onRate = vi.fn();
  shown(2, onRate);
  await userEvent.click(screen.getByRole("radio", { name: "4 stars" }));
  expect(onRate.mock.calls).toEqual([[4]]);
  expect(document.activeElement).toBe(document.body);
});

it("keeps the focus for who came by keys", async () => {
  const onRate = vi.fn();
  shown(2, onRate);
  await userEvent.tab();
  await userEvent.keyboard("{Delete}");
  expect(onRate.mock.calls).toEqual([[null]]);
  expect(document.activeElement).toBe(screen.getByRole("radio", { name: "2 stars" }));
});

it("takes a rating back when the same star is pressed again", async () => {
  const onRate = vi.fn();
  shown(3, onRate);
  await userEvent.click(screen.getByRole("radio", { name: "3 stars" }));
  expect(onRate.mock.calls).toEqual([[null]]);
});
