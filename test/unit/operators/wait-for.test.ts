import { getEventListeners } from "node:events";
import { describe, expect, test, vi } from "vitest";
import { LockstepValue, MemoryValue, waitFor } from "../../../src/index.ts";
import { codeOf, observe, rejection, turn } from "../../support/promises.ts";

describe("waitFor", () => {
  test("resolves with the current value where that matches, and with the next that does where not", async () => {
    const value = new MemoryValue({ initial: 1 });
    expect(await waitFor(value, (n) => n === 1)).toBe(1);
    const asked = vi.fn<(n: number) => boolean>((n) => n > 2);
    const waiting = waitFor(value, asked);
    for (const n of [2, 3, 4]) value.set(n);
    expect(await waiting).toBe(3);
    expect(asked.mock.calls).toEqual([[1], [2], [3]]);
    expect(value.watcherCount).toBe(0);
  });

  test("waits where there is no value yet, and misses none from the call on", async () => {
    const value = new LockstepValue<number>();
    const waiting = waitFor(value, (n) => n === 3);
    await Promise.all([value.set(1), value.set(2), value.set(3), value.set(4)]);
    expect(await waiting).toBe(3);
    expect(value.watcherCount).toBe(0);
  });

  test("rejects with signal.reason on abort, and leaves neither watcher nor listener", async () => {
    const value = new MemoryValue({ initial: 1 });
    const controller = new AbortController();
    const reason = new Error("enough");
    const waiting = waitFor(value, (n) => n === 2, { signal: controller.signal });
    expect(value.watcherCount).toBe(1);
    controller.abort(reason);
    value.set(2);
    expect(await rejection(waiting)).toBe(reason);
    expect(value.watcherCount).toBe(0);
    const { signal } = new AbortController();
    await waitFor(value, () => true, { signal });
    const met = waitFor(value, (n) => n === 3, { signal });
    value.set(3);
    await met;
    await turn();
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });

  test("with an aborted signal rejects even if a value matches, and opens no watcher", async () => {
    const value = new MemoryValue({ initial: 1 });
    const watch = vi.spyOn(value, "watch");
    expect(await rejection(waitFor(value, () => true, { signal: AbortSignal.abort("before") }))).toBe("before");
    expect(watch).not.toHaveBeenCalled();
  });

  test("gives up in time with AbortSignal.timeout, whose reason it rejects with", async () => {
    const value = new MemoryValue<number>();
    const signal = AbortSignal.timeout(1);
    const error = await rejection(waitFor(value, () => true, { signal }));
    expect(error).toBe(signal.reason);
    expect(error).toMatchObject({ name: "TimeoutError" });
  });

  test("first wins: set then abort in one tick resolves", async () => {
    const value = new MemoryValue<number>();
    const controller = new AbortController();
    const waiting = waitFor(value, () => true, { signal: controller.signal });
    value.set(1);
    controller.abort();
    expect(await waiting).toBe(1);
  });

  test("rejects with what the predicate throws", async () => {
    const value = new MemoryValue<number>();
    const error = new Error("cannot tell");
    const waiting = waitFor(value, () => {
      throw error;
    });
    const outcome = observe(waiting);
    await turn();
    expect(outcome()).toEqual({ state: "pending" });
    value.set(1);
    expect(await rejection(waiting)).toBe(error);
    expect(value.watcherCount).toBe(0);
  });

  test("rejects with EV_CLOSED where the value ends first, or had ended; its last value still counts", async () => {
    const value = new MemoryValue<number>();
    const [unmet, met] = [waitFor(value, (n) => n === 2), waitFor(value, (n) => n === 1)];
    value.set(1);
    value.close();
    expect(await codeOf(unmet)).toBe("EV_CLOSED");
    expect(await met).toBe(1);
    expect(await codeOf(waitFor(value, () => true))).toBe("EV_CLOSED");
    expect(value.watcherCount).toBe(0);
  });

  test("refuses bad input with a TypeError at the call, and opens no watcher", () => {
    const value = new MemoryValue({ initial: 1 });
    const { signal } = new AbortController();
    for (const source of [undefined, null, {}, 1])
      expect(() => waitFor(source as never, () => true)).toThrow(TypeError);
    for (const predicate of [undefined, null, true, {}])
      expect(() => waitFor(value, predicate as never)).toThrow(TypeError);
    for (const options of [null, 1, signal, { timeoutMs: 5 }, { signal: {} }]) {
      expect(() => waitFor(value, () => true, options as never)).toThrow(TypeError);
    }
    expect(value.watcherCount).toBe(0);
  });
});
