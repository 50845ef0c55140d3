import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, it, vi } from "vitest";
import type { Job } from "@/api/client";
import { DefectButton } from "@/media/defect-button";

vi.stubGlobal(
  "ResizeObserver",
  class {
    observe() {}
    unobserve() {}
    disconnect() {}
  },
);

function shown(tags: string[], isOffered = true): void {
  const job = {
    id: "job_1",
    media_type: "image/png",
    rating: { stars: null, tags },
  } as unknown as Job;
  render(
    <QueryClientProvider client={new QueryClient()}>
      <DefectButton job={job} isOffered={isOffered} />
    </QueryClientProvider>,
  );
}

it("is not there on a card that nobody looks at, unless something is said", () => {
  shown([], false);
  expect(screen.queryByRole("button")).toBeNull();
  shown(["anatomy", "text"], false);
  expect(screen.getByRole("button").textContent).toBe("Anatomy +1");
});

it("offers the tags when pressed, and gives the focus back", async () => {
  shown(["anatomy"]);
  const button = screen.getByRole("button", { name: "What is wrong with it: Anatomy" });
  expect(screen.queryByRole("dialog")).toBeNull();
  await userEvent.click(button);
  const dialog = screen.getByRole("dialog", { name: "What is wrong with it" });
  expect(dialog.querySelectorAll("button")).toHaveLength(4); // no flicker in an image
  expect(screen.getByRole("button", { name: "Anatomy" }).getAttribute("aria-pressed")).toBe("true");
  await userEvent.keyboard("{Escape}");
  expect(screen.queryByRole("dialog")).toBeNull();
  expect(document.activeElement).toBe(button);
});
