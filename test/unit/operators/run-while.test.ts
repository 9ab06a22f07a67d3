import { getEventListeners } from "node:events";
import { describe, expect, test, vi } from "vitest";
import { codeOf, observe, rejection, turn } from "../../support/promises.ts";
import { LockstepValue, MemoryValue, runWhile, type RunWhileContext } from "../../../src/index.ts";
import { aborted, manualTask } from "./tasks.ts";

const isPositive = (n: number): boolean => n > 0;

describe("runWhile", () => {
  test("begins with the first value that matches, goes on while others do, and is aborted by one that does not", async () => {
    const source = new MemoryValue({ initial: -1 });
    const { task, runs } = manualTask<number, RunWhileContext>();
    const running = runWhile(source, isPositive, task);
    await turn();
    expect(runs).toHaveLength(0);
    for (const n of [1, 2, 3]) {
      source.set(n);
      await turn();
    }
    expect(runs).toMatchObject([{ value: 1, context: { signal: { aborted: false } } }]);
    source.set(-2);
    await turn();
    expect(runs[0]?.context.signal.aborted).toBe(true);
    source.close();
    runs[0]?.end();
    await running;
    expect([runs.length, source.watcherCount]).toEqual([1, 0]);
  });

  test("begins again, with the newest value, when it has settled and a value matches again", async () => {
    const source = new MemoryValue({ initial: 1 });
    const { task, runs } = manualTask<number, RunWhileContext>();
    const running = runWhile(source, isPositive, task);
    await turn();
    for (const n of [-1, 2, 3]) {
      source.set(n);
      await turn();
    }
    expect(runs).toHaveLength(1);
    runs[0]?.end();
    await turn();
    expect(runs).toHaveLength(2);
    expect(runs[1]).toMatchObject({ value: 3, context: { signal: { aborted: false } } });
    runs[1]?.end();
    source.close();
    await running;
  });

  test("does not begin again where no value matches when it has settled", async () => {
    const source = new MemoryValue({ initial: 1 });
    const { task, runs } = manualTask<number, RunWhileContext>();
    const running = runWhile(source, isPositive, task);
    await turn();
    for (const n of [-1, 2, -3]) {
      source.set(n);
      await turn();
    }
    runs[0]?.end();
    source.close();
    await running;
    expect(runs).toHaveLength(1);
  });

  test("does not begin again after it has ended by itself, before a value did not match", async () => {
    const source = new MemoryValue({ initial: 1 });
    const task = vi.fn<(n: number) => void>();
    const running = runWhile(source, isPositive, task);
    for (const n of [1, 2, -1, -2, 3, 4]) {
      source.set(n);
      await turn();
    }
    source.close();
    await running;
    expect(task.mock.calls.map(([n]) => n)).toEqual([1, 3]);
  });

  test("is not disturbed by a value that did not match and was overwritten before it was seen", async () => {
    const source = new MemoryValue({ initial: 1 });
    const { task, runs } = manualTask<number, RunWhileContext>();
    const running = runWhile(source, isPositive, task);
    await turn();
    // The first wakes the watcher.
    for (const n of [2, -1, 3]) source.set(n);
    await turn();
    expect(runs).toMatchObject([{ context: { signal: { aborted: false } } }]);
    runs[0]?.end();
    source.close();
    await running;
  });

  test("sees every value, and holds up no producer while the task runs", async () => {
    const source = new LockstepValue<number>();
    const predicate = vi.fn<(n: number) => boolean>(isPositive);
    const { task, runs } = manualTask<number, RunWhileContext>();
    const running = runWhile(source, predicate, task);
    for (const n of [1, -1, 2]) await source.set(n);
    await turn();
    expect(predicate.mock.calls).toEqual([[1], [-1], [2]]);
    expect(runs).toMatchObject([{ value: 1, context: { signal: { aborted: true } } }]);
    runs[0]?.end();
    await turn();
    expect(runs.map(({ value }) => value)).toEqual([1, 2]);
    runs[1]?.end();
    source.close();
    await running;
  });

  test("leaves the task to finish where the source ends, and resolves then", async () => {
    const source = new MemoryValue({ initial: 1 });
    const { task, runs } = manualTask<number, RunWhileContext>();
    const running = observe(runWhile(source, isPositive, task));
    await turn();
    source.close();
    await turn();
    expect([runs[0]?.context.signal.aborted, running().state]).toEqual([false, "pending"]);
    runs[0]?.end();
    await turn();
    expect(running().state).toBe("fulfilled");
    expect(await codeOf(runWhile(source, isPositive, task))).toBe("EV_CLOSED");
  });

  test("rejects with signal.reason on abort, when the task has settled, and leaves neither watcher nor listener", async () => {
    const source = new MemoryValue({ initial: 1 });
    const controller = new AbortController();
    const { task, runs } = manualTask<number, RunWhileContext>();
    const running = observe(runWhile(source, isPositive, task, { signal: controller.signal }));
    await turn();
    const reason = new Error("enough");
    controller.abort(reason);
    await turn();
    expect([runs[0]?.context.signal.reason, running().state]).toEqual([reason, "pending"]);
    runs[0]?.fail(reason);
    await turn();
    expect(running()).toEqual({ state: "rejected", reason });
    expect([source.watcherCount, getEventListeners(controller.signal, "abort").length]).toEqual([0, 0]);
    const before = runWhile(source, isPositive, task, { signal: AbortSignal.abort("before") });
    expect(await rejection(before)).toBe("before");
    expect(runs).toHaveLength(1);
  });

  test("rejects with what the predicate throws, when the task it aborts has settled", async () => {
    const source = new MemoryValue({ initial: 1 });
    const error = new Error("cannot tell");
    const predicate = (n: number): boolean => {
      if (n === 2) throw error;
      return true;
    };
    const running = runWhile(source, predicate, (_, { signal }) => aborted(signal));
    await turn();
    source.set(2);
    expect(await rejection(running)).toBe(error);
    expect(source.watcherCount).toBe(0);
  });

  test("rejects with what the task fails with, but not with what an aborted one says of the abort", async () => {
    const source = new MemoryValue({ initial: 1 });
    const error = new Error("broken");
    const running = runWhile(source, isPositive, (n, { signal }) =>
      n === 2 ? Promise.reject(error) : aborted(signal),
    );
    for (const n of [-1, 2]) {
      await turn();
      source.set(n);
    }
    expect(await rejection(running)).toBe(error);
    expect(source.watcherCount).toBe(0);
  });

  test("refuses bad input with a TypeError at the call, and opens nothing", () => {
    const source = new MemoryValue({ initial: 1 });
    const { signal } = new AbortController();
    const task = (): void => {};
    for (const wrong of [undefined, null, {}])
      expect(() => runWhile(wrong as never, isPositive, task)).toThrow(TypeError);
    for (const wrong of [undefined, null, true]) {
      expect(() => runWhile(source, wrong as never, task)).toThrow(TypeError);
      expect(() => runWhile(source, isPositive, wrong as never)).toThrow(TypeError);
    }
    for (const options of [null, 1, signal, { select: isPositive }, { signal: {} }]) {
      expect(() => runWhile(source, isPositive, task, options as never)).toThrow(TypeError);
    }
    expect(source.watcherCount).toBe(0);
  });
});
