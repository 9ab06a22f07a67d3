/** What stays in memory, measured in a process of its own after its garbage was collected. */
import { describe, expect, test } from "vitest";
import { resultInChild } from "../../support/compiled.ts";

const nodeOptions = ["--expose-gc"];

describe("C8: a closed watcher", () => {
  test("is no longer referenced by the value, by its signals or by its iterators, though nothing is ever set again", async () => {
    const alive = await resultInChild(
      async ({ core, timers }) => {
        const values = [
          new core.MemoryValue<object>(),
          new core.MemoryValue<object>({ initial: {} }),
          new core.LockstepValue<object>(),
        ];
        const watchables = [...values, core.map(values[0]!, (value) => value), core.combine(values)];
        const { signal } = new AbortController();
        const closed: WeakRef<object>[] = [];
        const openAndClose = async (watchable: (typeof watchables)[number]): Promise<void> => {
          const idle = watchable.watch();
          const waiting = watchable.watch({ signal });
          const aborted = watchable.watch({ signal });
          const looping = watchable.watch();
          const controller = new AbortController();
          void waiting.get({ signal, filter: () => false });
          void aborted.get({ signal: controller.signal, filter: () => false });
          controller.abort();
          const iterator = looping[Symbol.asyncIterator]();
          void iterator.next().then(() => iterator.next());
          await timers.setImmediate();
          idle.close();
          waiting.close();
          aborted.close();
          void iterator.return!();
          for (const watcher of [idle, waiting, aborted, looping]) closed.push(new WeakRef(watcher));
        };
        for (const watchable of watchables) for (let i = 0; i < 50; i++) await openAndClose(watchable);
        await timers.setImmediate();
        globalThis.gc!();
        await timers.setImmediate();
        globalThis.gc!();
        const left = closed.filter((watcher) => watcher.deref() !== undefined).length;
        // The values and the signal live until here.
        return { left, of: closed.length, counts: values.map((value) => value.watcherCount), aborted: signal.aborted };
      },
      { nodeOptions },
    );
    expect(alive).toEqual({ left: 0, of: 1000, counts: [0, 0, 0], aborted: false });
  });

  test("keeps neither the value nor what was set alive", async () => {
    const left = await resultInChild(
      async ({ core, timers }) => {
        const watchers: object[] = [];
        const references: WeakRef<object>[] = [];
        const openAndClose = async (Value: typeof core.MemoryValue<object> | typeof core.LockstepValue<object>) => {
          const datum = {};
          const value = new Value({ initial: datum });
          const { signal } = new AbortController();
          const opened = [value.watch(), value.watch({ signal })];
          await opened[0]!.get({ filter: () => true });
          void opened[0]!.get({ signal, filter: () => true });
          for (const watcher of opened) watcher.close();
          watchers.push(...opened);
          references.push(new WeakRef(value), new WeakRef(datum), new WeakRef(signal));
        };
        await openAndClose(core.MemoryValue);
        await openAndClose(core.LockstepValue);
        await timers.setImmediate();
        globalThis.gc!();
        await timers.setImmediate();
        globalThis.gc!();
        return { alive: references.map((reference) => reference.deref() !== undefined), watchers: watchers.length };
      },
      { nodeOptions },
    );
    expect(left).toEqual({ alive: [false, false, false, false, false, false], watchers: 4 });
  });

  test("leaves nothing behind either where its delivery had been put off", async () => {
    const grown = await resultInChild(
      async ({ core, timers }) => {
        // Far more than is delivered in one turn of the event loop, all asked for in one.
        const exhaust = async (): Promise<void> => {
          for (let n = 0; n < 100_000; n++) {
            const value = new core.MemoryValue<number>();
            const watcher = value.watch();
            void watcher.get();
            value.set(n);
            watcher.close();
          }
          for (let i = 0; i < 20; i++) await timers.setImmediate();
        };
        const heap = (): number => {
          globalThis.gc!();
          return process.memoryUsage().heapUsed;
        };
        await exhaust();
        const before = heap();
        await exhaust();
        return heap() - before;
      },
      { nodeOptions },
    );
    // A list that is left behind each time makes 8 MB.
    expect(grown).toBeLessThan(1_000_000);
  });

  test("leaves nothing behind when a watcher is closed and opened 100,000 times without a set", async () => {
    const grown = await resultInChild(
      async ({ core, timers }) => {
        const values = [new core.MemoryValue<number>(), new core.LockstepValue<number>()];
        const { signal } = new AbortController();
        const openAndClose = async (times: number): Promise<void> => {
          for (const value of values) {
            for (let i = 0; i < times; i++) {
              const watcher = value.watch(i % 2 === 0 ? undefined : { signal });
              if (i % 4 >= 2) void watcher.get(i % 8 >= 4 ? { signal } : undefined);
              watcher.close();
              if (i % 1000 === 0) await timers.setImmediate();
            }
          }
          await timers.setImmediate();
        };
        const heap = (): number => {
          globalThis.gc!();
          return process.memoryUsage().heapUsed;
        };
        await openAndClose(2_000);
        const before = heap();
        await openAndClose(100_000);
        return { bytes: heap() - before, counts: values.map((value) => value.watcherCount) };
      },
      { nodeOptions },
    );
    expect(grown.counts).toEqual([0, 0]);
    // One that is left behind each time takes 64 bytes at the least: 12 MB in all.
    expect(grown.bytes).toBeLessThan(1_000_000);
  });
});

describe("C10: an idle watcher", () => {
  test("holds nothing of a million sets it misses, and then has the newest", async () => {
    const { bytes, newest } = await resultInChild(
      async ({ core, timers }) => {
        const value = new core.MemoryValue<{ n: number; ballast: number[] }>();
        const set = (n: number): void => value.set({ n, ballast: [n, n, n, n] });
        const watchers = Array.from({ length: 10 }, () => value.watch());
        const pipeline = core.distinctUntilChanged(core.map(value, ({ n }) => n)).watch();
        const combined = core.combine([value, value]).watch();
        const heap = (): number => {
          globalThis.gc!();
          return process.memoryUsage().heapUsed;
        };
        for (let n = 0; n < 10_000; n++) set(n);
        await timers.setImmediate();
        const before = heap();
        for (let n = 1; n <= 1_000_000; n++) set(n);
        const bytes = heap() - before;
        const newest = [(await watchers[0]!.get()).n, await pipeline.get(), (await combined.get())[1].n];
        return { bytes, newest };
      },
      { nodeOptions },
    );
    expect(newest).toEqual([1_000_000, 1_000_000, 1_000_000]);
    expect(bytes).toBeLessThan(200_000);
  });

  test("takes little more than its object: ten thousand of them less than 2 MB, whatever was set", async () => {
    const bytes = await resultInChild(
      ({ core }) => {
        const value = new core.MemoryValue<number>();
        const heap = (): number => {
          globalThis.gc!();
          return process.memoryUsage().heapUsed;
        };
        const watchers = Array.from({ length: 10_000 }, () => value.watch());
        for (const watcher of watchers) watcher.close();
        const before = heap();
        for (let i = 0; i < watchers.length; i++) watchers[i] = value.watch();
        for (let n = 0; n < 1000; n++) value.set(n);
        const after = heap();
        return after - before;
      },
      { nodeOptions },
    );
    expect(bytes).toBeLessThan(2_000_000);
  });
});
