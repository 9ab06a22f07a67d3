import { getEventListeners } from "node:events";
import { describe, expect, test, vi } from "vitest";
import { abortable, AbortEntry, follow } from "../../../src/internal/abort.ts";
import { microtasks, observe, rejection, turn } from "../../support/promises.ts";

const listeners = (signal: AbortSignal): number => getEventListeners(signal, "abort").length;

describe("waiting for a signal", () => {
  test("takes one listener for all who wait, which goes when the last has left, in a later macrotask", async () => {
    const { signal } = new AbortController();
    const entries = Array.from({ length: 1000 }, () => new AbortEntry(() => {}).await(signal));
    expect(listeners(signal)).toBe(1);
    for (const entry of entries) entry.unlink();
    await turn();
    expect(listeners(signal)).toBe(0);
  });

  test("adds the listener once for calls that follow each other", async () => {
    const { signal } = new AbortController();
    const add = vi.spyOn(signal, "addEventListener");
    for (let i = 0; i < 1000; i++) {
      new AbortEntry(() => {}).await(signal).unlink();
      await microtasks(1);
    }
    expect(add).toHaveBeenCalledTimes(1);
    await turn();
    expect(listeners(signal)).toBe(0);
    const entry = new AbortEntry(() => {}).await(signal);
    expect(listeners(signal)).toBe(1);
    entry.unlink();
    await turn();
    expect(listeners(signal)).toBe(0);
  });

  test("keeps the listener where somebody came before it had gone", async () => {
    const controller = new AbortController();
    const called: string[] = [];
    new AbortEntry(() => called.push("left")).await(controller.signal).unlink();
    new AbortEntry(() => called.push("stayed")).await(controller.signal);
    await turn();
    controller.abort();
    expect(called).toEqual(["stayed"]);
  });

  test("calls back all who wait, once, in the order in which they came, with the reason", () => {
    const controller = new AbortController();
    const called: unknown[] = [];
    const entries = [1, 2, 3, 4].map((i) =>
      new AbortEntry((reason) => called.push(i, reason)).await(controller.signal),
    );
    entries[1]!.unlink();
    controller.abort("why");
    expect(called).toEqual([1, "why", 3, "why", 4, "why"]);
  });

  test("does not call back who left while others were called back", () => {
    const controller = new AbortController();
    const called: number[] = [];
    let second: AbortEntry | undefined;
    new AbortEntry(() => {
      called.push(1);
      second?.unlink();
    }).await(controller.signal);
    second = new AbortEntry(() => called.push(2)).await(controller.signal);
    new AbortEntry(() => called.push(3)).await(controller.signal);
    controller.abort();
    expect(called).toEqual([1, 3]);
  });
});

describe("abortable", () => {
  test("gives what the promise gives where nobody aborts, and leaves no listener", async () => {
    const { signal } = new AbortController();
    const error = new Error("failed");
    expect(await abortable(Promise.resolve(1), signal)).toBe(1);
    expect(await rejection(abortable(Promise.reject(error), signal))).toBe(error);
    expect(await abortable(Promise.resolve(2), undefined)).toBe(2);
    await turn();
    expect(listeners(signal)).toBe(0);
  });

  test("rejects with the reason as soon as it is aborted, and lets the promise fail unnoticed", async () => {
    const controller = new AbortController();
    let fail!: (error: Error) => void;
    const promise = new Promise<never>((_, reject) => (fail = reject));
    const outcome = observe(abortable(promise, controller.signal));
    controller.abort("enough");
    await microtasks(2);
    expect(outcome()).toEqual({ state: "rejected", reason: "enough" });
    fail(new Error("late"));
    expect(await rejection(abortable(Promise.reject(new Error("no")), controller.signal))).toBe("enough");
    await turn();
  });
});

describe("follow", () => {
  test("aborts the controller with the signal's reason, now or later, until told to stop", () => {
    const leader = new AbortController();
    const [led, left, late] = [new AbortController(), new AbortController(), new AbortController()];
    follow(led, leader.signal);
    follow(left, leader.signal).unlink();
    leader.abort("why");
    follow(late, leader.signal);
    expect([led, left, late].map(({ signal }) => signal.reason as unknown)).toEqual(["why", undefined, "why"]);
    const alone = new AbortController();
    follow(alone, undefined).unlink();
    expect(alone.signal.aborted).toBe(false);
  });
});
