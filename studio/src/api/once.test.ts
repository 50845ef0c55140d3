import { beforeEach, expect, it } from "vitest";
import { ApiError } from "@/api/client";
import { forgetUnanswered, once } from "@/api/once";

const lost = new ApiError(0, "unreachable", "The service can't be reached.");
const refused = new ApiError(422, "invalid", "No.");

let keys: string[];

beforeEach(() => {
  keys = [];
  forgetUnanswered();
});

const ask = (prompt: string, failure?: Error) =>
  once("/jobs", { prompt }, async (key) => {
    keys.push(key);
    if (failure) throw failure;
    return prompt;
  });

it("asks with the same key after lost answers, until there is one", async () => {
  await expect(ask("a", lost)).rejects.toBe(lost);
  await expect(ask("a", lost)).rejects.toBe(lost);
  expect(await ask("a")).toBe("a");
  await ask("a");
  expect(keys[1]).toBe(keys[0]);
  expect(keys[2]).toBe(keys[0]);
  expect(keys[3]).not.toBe(keys[0]);
});

it("takes a new key for another request and after a refusal", async () => {
  await expect(ask("a", lost)).rejects.toBe(lost);
  await ask("b");
  await expect(ask("c", refused)).rejects.toBe(refused);
  await ask("c");
  expect(new Set(keys).size).toBe(4);
});

it("takes two presses at once for two wishes", async () => {
  await Promise.all([ask("a"), ask("a")]);
  expect(keys[0]).not.toBe(keys[1]);
});
