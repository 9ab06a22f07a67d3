import { getEventListeners } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test, vi } from "vitest";
import { combine, LockstepValue, map, MemoryValue, runLatest, type RunLatestContext } from "../../../src/index.ts";
import { codeOf, observe, rejection, turn } from "../../support/promises.ts";
import { aborted, manualTask } from "./tasks.ts";

describe("runLatest", () => {
  test("runs the task with the current value, and with each next one when the run before has settled", async () => {
    const source = new MemoryValue({ initial: 1 });
    const { task, runs } = manualTask<number, RunLatestContext<number>>();
    const running = observe(runLatest(source, task));
    await turn();
    expect(runs).toMatchObject([{ value: 1, context: { previous: undefined, signal: { aborted: false } } }]);
    source.set(2);
    await turn();
    expect(runs).toHaveLength(1);
    expect(runs[0]?.context.signal.aborted).toBe(true);
    runs[0]?.end();
    await turn();
    expect(runs).toHaveLength(2);
    expect(runs[1]).toMatchObject({ value: 2, context: { previous: 1, signal: { aborted: false } } });
    expect(running()).toEqual({ state: "pending" });
    source.close();
    runs[1]?.end();
    await turn();
    expect([running().state, source.watcherCount]).toEqual(["fulfilled", 0]);
  });

  test("conflates what comes while a task that was aborted settles", async () => {
    const source = new MemoryValue({ initial: 1 });
    const { task, runs } = manualTask<number, RunLatestContext<number>>();
    const running = runLatest(source, task);
    await turn();
    for (let n = 2; n <= 100; n++) {
      source.set(n);
      await turn();
    }
    runs[0]?.end();
    await turn();
    expect(runs.map(({ value, context }) => [value, context.previous])).toEqual([
      [1, undefined],
      [100, 1],
    ]);
    runs[1]?.end();
    source.close();
    await running;
  });

  test("holds up no producer while the task runs", async () => {
    const source = new LockstepValue<number>();
    const { task, runs } = manualTask<number, RunLatestContext<number>>();
    const running = runLatest(source, task);
    for (let n = 1; n <= 3; n++) await source.set(n);
    expect(runs.map(({ value }) => value)).toEqual([1]);
    runs[0]?.end();
    await turn();
    expect(runs.map(({ value }) => value)).toEqual([1, 3]);
    runs[1]?.end();
    source.close();
    await running;
  });

  test("leaves a task alone while its part of the value stays equal, by Object.is or as told", async () => {
    const config = { port: 80, hosts: ["a"], comment: "" };
    const source = new MemoryValue({ initial: config });
    const byIdentity = manualTask<typeof config, RunLatestContext<typeof config>>();
    const byPort = manualTask<typeof config, RunLatestContext<typeof config>>();
    const byHosts = manualTask<typeof config, RunLatestContext<typeof config>>();
    const running = [
      runLatest(source, byIdentity.task),
      runLatest(source, byPort.task, { select: ({ port }) => port }),
      runLatest(source, byHosts.task, {
        select: ({ hosts }) => hosts,
        equals: (previous, next) => previous.join() === next.join(),
      }),
    ];
    const aborts = (): unknown => [byIdentity, byPort, byHosts].map(({ runs }) => runs[0]?.context.signal.aborted);
    source.set(config);
    await turn();
    expect(aborts()).toEqual([false, false, false]);
    source.set({ port: 80, hosts: ["a"], comment: "new" });
    await turn();
    expect(aborts()).toEqual([true, false, false]);
    source.set({ port: 81, hosts: ["a"], comment: "new" });
    await turn();
    expect(aborts()).toEqual([true, true, false]);
    source.set({ port: 81, hosts: ["b"], comment: "new" });
    await turn();
    expect(aborts()).toEqual([true, true, true]);
    source.close();
    for (const { runs } of [byIdentity, byPort, byHosts]) runs[0]?.end();
    await turn();
    for (const { runs } of [byIdentity, byPort, byHosts]) {
      expect(runs).toHaveLength(2);
      expect(runs[1]?.context.previous).toBe(config);
      runs[1]?.end();
    }
    await Promise.all(running);
  });

  test("runs a task anew that was aborted, also where the value has become what it was", async () => {
    const source = new MemoryValue({ initial: "a" });
    const { task, runs } = manualTask<string, RunLatestContext<string>>();
    const running = runLatest(source, task);
    await turn();
    for (const value of ["b", "a"]) {
      source.set(value);
      await turn();
    }
    runs[0]?.end();
    await turn();
    expect(runs.map(({ value }) => value)).toEqual(["a", "a"]);
    // The first wakes the watcher; the second is overwritten before it is seen, and so is no change.
    for (const value of ["a", "b", "a"]) source.set(value);
    await turn();
    expect(runs[1]?.context.signal.aborted).toBe(false);
    runs[1]?.end();
    source.close();
    await running;
  });

  test("waits for a change after a task that has ended by itself", async () => {
    const source = new MemoryValue({ initial: 1 });
    const task = vi.fn<(n: number) => void>();
    const running = runLatest(source, task);
    for (const n of [1, 1, 2, 2, 1]) {
      source.set(n);
      await turn();
    }
    expect(task.mock.calls.map(([n]) => n)).toEqual([1, 2, 1]);
    source.close();
    await running;
  });

  test("takes undefined for a value", async () => {
    const source = new MemoryValue<number | undefined>({ initial: undefined });
    const seen: unknown[] = [];
    const running = runLatest(source, (value, { previous }) => seen.push([value, previous]));
    await turn();
    source.set(1);
    await turn();
    source.set(undefined);
    source.close();
    await running;
    expect(seen).toEqual([
      [undefined, undefined],
      [1, undefined],
      [undefined, 1],
    ]);
  });

  test("gives each run a signal of its own, which is not aborted when the run ends by itself", async () => {
    const source = new MemoryValue({ initial: 1 });
    const signals: AbortSignal[] = [];
    const running = runLatest(source, (_, { signal }) => void signals.push(signal));
    await turn();
    source.set(2);
    await turn();
    source.close();
    await running;
    expect(new Set(signals).size).toBe(2);
    expect(signals.some((signal) => signal.aborted)).toBe(false);
  });

  test("never runs two tasks at once, and ends with the newest value, whatever tasks do", async () => {
    const source = new MemoryValue({ initial: 0 });
    let going = 0;
    let last = -1;
    const running = runLatest(source, async (n, { signal }) => {
      expect(++going).toBe(1);
      try {
        last = n;
        if (n % 3 === 0) await aborted(signal);
        else if (n % 3 === 1) await turn();
        else if (n % 5 === 0) await delay(10_000, undefined, { signal });
      } finally {
        going--;
      }
    });
    for (let n = 1; n <= 200; n++) {
      source.set(n);
      for (let i = n % 4; i > 0; i--) await turn();
    }
    source.set(202);
    source.close();
    await running;
    expect([going, last]).toEqual([0, 202]);
  });

  test("runs with what operators make of values", async () => {
    const [a, b] = [new MemoryValue({ initial: 1 }), new MemoryValue({ initial: 2 })];
    const sums = map(combine({ a, b }), (now) => now.a + now.b);
    const seen: number[] = [];
    const running = runLatest(sums, (n) => seen.push(n));
    await turn();
    a.set(2);
    await turn();
    b.set(1);
    await turn();
    a.close();
    b.close();
    await running;
    // 3 and then 2 + 1 is a change back that was seen apart.
    expect(seen).toEqual([3, 4, 3]);
    expect([a.watcherCount, b.watcherCount]).toEqual([0, 0]);
  });

  test("misses nothing final that is set from within the task", async () => {
    const source = new MemoryValue({ initial: 1 });
    const seen: number[] = [];
    await runLatest(source, (n) => {
      seen.push(n);
      if (n < 5) source.set(n + 1);
      else source.close();
    });
    expect(seen).toEqual([1, 2, 3, 4, 5]);
  });
});

describe("the end of the source of runLatest", () => {
  test("leaves the running task to finish, and then resolves", async () => {
    const source = new MemoryValue({ initial: 1 });
    const { task, runs } = manualTask<number, RunLatestContext<number>>();
    const running = observe(runLatest(source, task));
    await turn();
    source.close();
    await turn();
    expect([runs[0]?.context.signal.aborted, running().state]).toEqual([false, "pending"]);
    runs[0]?.end();
    await turn();
    expect(running().state).toBe("fulfilled");
  });

  test("comes after its last value: the task runs with that first", async () => {
    const source = new MemoryValue({ initial: 1 });
    const { task, runs } = manualTask<number, RunLatestContext<number>>();
    const running = runLatest(source, task);
    await turn();
    source.set(2);
    source.close();
    await turn();
    runs[0]?.end();
    await turn();
    expect(runs.map(({ value }) => value)).toEqual([1, 2]);
    runs[1]?.end();
    await running;
  });

  test("resolves where it never had a value, and rejects with EV_CLOSED where it had ended before", async () => {
    const source = new MemoryValue<number>();
    const task = vi.fn<() => void>();
    const running = runLatest(source, task);
    source.close();
    await running;
    expect(await codeOf(runLatest(source, task))).toBe("EV_CLOSED");
    expect(task).not.toHaveBeenCalled();
  });

  test("does not keep an abort from reaching the task that finishes", async () => {
    const source = new MemoryValue({ initial: 1 });
    const controller = new AbortController();
    const running = runLatest(source, (_, { signal }) => aborted(signal), { signal: controller.signal });
    source.close();
    await turn();
    controller.abort("enough");
    expect(await rejection(running)).toBe("enough");
  });
});

describe("a task of runLatest that fails", () => {
  test("rejects it with that error and closes the watcher, also where it throws", async () => {
    const error = new Error("broken");
    const tasks = [
      () => Promise.reject(error),
      () => {
        throw error;
      },
    ];
    for (const task of tasks) {
      const source = new MemoryValue({ initial: 1 });
      expect(await rejection(runLatest(source, task))).toBe(error);
      expect(source.watcherCount).toBe(0);
    }
  });

  test("rejects it with whatever it rejects with, be it undefined, EV_CLOSED or an AbortError of its own", async () => {
    const closed = new MemoryValue<number>();
    closed.close();
    const errors = [undefined, await rejection(runLatest(closed, () => {})), new DOMException("mine", "AbortError")];
    for (const error of errors) {
      const source = new MemoryValue({ initial: 1 });
      expect(await rejection(runLatest(source, () => Promise.reject(error as Error)))).toBe(error);
      expect(source.watcherCount).toBe(0);
    }
  });

  test("after a change aborted it is no failure where it tells of the abort only", async () => {
    const source = new MemoryValue({ initial: 1 });
    const started: number[] = [];
    const running = runLatest(source, async (n, { signal }) => {
      started.push(n);
      // A platform's own AbortError, which has the reason for its cause.
      if (n === 1) await delay(10_000, undefined, { signal });
      if (n === 2) await aborted(signal);
    });
    for (const n of [2, 3]) {
      await turn();
      source.set(n);
    }
    source.close();
    await running;
    expect(started).toEqual([1, 2, 3]);
  });

  test("after a change aborted it rejects with any other error, and does not run again", async () => {
    const source = new MemoryValue({ initial: 1 });
    const { task, runs } = manualTask<number, RunLatestContext<number>>();
    const running = runLatest(source, task);
    await turn();
    source.set(2);
    await turn();
    const error = new Error("cannot stop");
    runs[0]?.fail(error);
    expect(await rejection(running)).toBe(error);
    expect([runs.length, source.watcherCount]).toEqual([1, 0]);
  });
});

describe("aborting runLatest", () => {
  test("aborts the task with that reason, waits for it, and rejects with the reason", async () => {
    const source = new MemoryValue({ initial: 1 });
    const controller = new AbortController();
    const { task, runs } = manualTask<number, RunLatestContext<number>>();
    const running = observe(runLatest(source, task, { signal: controller.signal }));
    await turn();
    const reason = new Error("enough");
    controller.abort(reason);
    expect(runs[0]?.context.signal.reason).toBe(reason);
    source.set(2);
    await turn();
    expect([running().state, source.watcherCount]).toEqual(["pending", 0]);
    // What it fails with then does not matter: the first reason counts.
    runs[0]?.fail(new Error("late"));
    await turn();
    expect(running()).toEqual({ state: "rejected", reason });
    expect(runs).toHaveLength(1);
  });

  test("while no task runs rejects at once", async () => {
    for (const source of [new MemoryValue<number>(), new MemoryValue({ initial: 1 })]) {
      const controller = new AbortController();
      const running = runLatest(source, () => {}, { signal: controller.signal });
      await turn();
      controller.abort("enough");
      expect(await rejection(running)).toBe("enough");
      expect(source.watcherCount).toBe(0);
    }
  });

  test("keeps a task from beginning, also with a value that was set before in the same tick", async () => {
    const source = new MemoryValue<number>();
    const controller = new AbortController();
    const task = vi.fn<(n: number) => void>();
    const running = runLatest(source, task, { signal: controller.signal });
    await turn();
    source.set(1);
    controller.abort("enough");
    expect(await rejection(running)).toBe("enough");
    await turn();
    expect(task).not.toHaveBeenCalled();
  });

  test("keeps the task from running again that a change had aborted", async () => {
    const source = new MemoryValue({ initial: 1 });
    const controller = new AbortController();
    const { task, runs } = manualTask<number, RunLatestContext<number>>();
    const running = runLatest(source, task, { signal: controller.signal });
    await turn();
    source.set(2);
    await turn();
    controller.abort("enough");
    runs[0]?.end();
    expect(await rejection(running)).toBe("enough");
    expect(runs).toHaveLength(1);
  });

  test("from within the task counts, and so does a failure of the task before it", async () => {
    const controller = new AbortController();
    const inside = runLatest(new MemoryValue({ initial: 1 }), () => controller.abort("enough"), {
      signal: controller.signal,
    });
    expect(await rejection(inside)).toBe("enough");
    const later = new AbortController();
    const { task, runs } = manualTask<number, RunLatestContext<number>>();
    const failing = observe(runLatest(new MemoryValue({ initial: 1 }), task, { signal: later.signal }));
    await turn();
    const error = new Error("broken");
    runs[0]?.fail(error);
    await turn();
    later.abort();
    await turn();
    expect(failing()).toEqual({ state: "rejected", reason: error });
  });

  test("beforehand opens nothing and runs nothing", async () => {
    const source = new MemoryValue({ initial: 1 });
    const watch = vi.spyOn(source, "watch");
    const task = vi.fn<() => void>();
    expect(await rejection(runLatest(source, task, { signal: AbortSignal.abort("before") }))).toBe("before");
    expect([watch.mock.calls.length, task.mock.calls.length]).toEqual([0, 0]);
  });

  test("has one listener on the signal however often the task runs, and none in the end", async () => {
    const source = new MemoryValue({ initial: 0 });
    const { signal } = new AbortController();
    const running = runLatest(source, () => {}, { signal });
    for (let n = 1; n <= 20; n++) {
      source.set(n);
      await turn();
      expect(getEventListeners(signal, "abort")).toHaveLength(1);
    }
    source.close();
    await running;
    await turn();
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });
});

describe("an error beside the task of runLatest", () => {
  test("of the source aborts the task, waits for it, and is what it rejects with", async () => {
    const source = new MemoryValue({ initial: 1 });
    const error = new Error("cannot decode");
    const failing = map(source, (n) => {
      if (n === 2) throw error;
      return n;
    });
    const { task, runs } = manualTask<number, RunLatestContext<number>>();
    const running = observe(runLatest(failing, task));
    await turn();
    source.set(2);
    await turn();
    expect([runs[0]?.context.signal.reason, running().state, source.watcherCount]).toEqual([error, "pending", 0]);
    runs[0]?.end();
    await turn();
    expect(running()).toEqual({ state: "rejected", reason: error });
  });

  test("of select or equals does the same", async () => {
    const error = new Error("cannot tell");
    const fail = (n: number): number => {
      if (n === 2) throw error;
      return n;
    };
    for (const options of [{ select: fail }, { equals: (_: number, next: number) => fail(next) === 0 }]) {
      const source = new MemoryValue({ initial: 1 });
      const running = runLatest(source, (_, { signal }) => aborted(signal), options);
      await turn();
      source.set(2);
      expect(await rejection(running)).toBe(error);
      expect(source.watcherCount).toBe(0);
    }
  });

  test("that looks like the end of the source is none", async () => {
    const ended = new MemoryValue<number>();
    ended.close();
    const running = runLatest(new MemoryValue({ initial: 1 }), () => {}, { select: () => ended.set(1) });
    expect(await codeOf(running)).toBe("EV_CLOSED");
  });
});

describe("runLatest whose promise nobody holds", () => {
  test("makes no unhandled rejection of an abort or of an error of the source", async () => {
    const failing = map(new MemoryValue({ initial: 1 }), () => {
      throw new Error("cannot");
    });
    void runLatest(failing, () => {});
    void runLatest(new MemoryValue(), () => {}, { signal: AbortSignal.abort() });
    // vitest fails the run on an unhandled rejection, which is known when the loop has turned.
    await turn();
    await turn();
  });
});

test("runLatest refuses bad input with a TypeError at the call, and opens nothing", () => {
  const source = new MemoryValue({ initial: 1 });
  const { signal } = new AbortController();
  for (const wrong of [undefined, null, {}, 1]) expect(() => runLatest(wrong as never, () => {})).toThrow(TypeError);
  for (const task of [undefined, null, 1, {}]) expect(() => runLatest(source, task as never)).toThrow(TypeError);
  for (const options of [null, 1, signal, { timeoutMs: 5 }, { signal: {} }, { select: "port" }, { equals: true }]) {
    expect(() => runLatest(source, () => {}, options as never)).toThrow(TypeError);
  }
  expect(source.watcherCount).toBe(0);
});
