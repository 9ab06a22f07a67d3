/** Platforms that lack something. */
import { expect, test } from "vitest";
import { resultInChild } from "../support/compiled.ts";

test("without Symbol.dispose everything works but `using`, and no method is named for its absence", async () => {
  const found = await resultInChild(
    async ({ core }) => {
      const value = new core.MemoryValue<number>({ initial: 1 });
      const lockstep = new core.LockstepValue<number>({ initial: 1 });
      const combined = core.map(core.combine([value]), ([n]) => n);
      const watchers = [value.watch(), lockstep.watch(), core.map(value, (n) => n).watch(), combined.watch()];
      const names: string[] = [];
      for (const object of [value, lockstep, ...watchers]) {
        for (let at: object | null = object; at !== null; at = Object.getPrototypeOf(at) as object | null) {
          names.push(
            ...Reflect.ownKeys(at)
              .filter((key) => key === "undefined" || String(key).includes("dispose"))
              .map(String),
          );
        }
      }
      const got: unknown[] = [];
      for (const watcher of watchers) {
        got.push(await watcher.get());
        watcher.close();
      }
      return { absent: Symbol.dispose === undefined, names, got, open: value.watcherCount + lockstep.watcherCount };
    },
    {
      // Where the platform has them, they cannot be deleted.
      prelude: `
        const { dispose, asyncDispose, ...properties } = Object.getOwnPropertyDescriptors(Symbol);
        const Original = Symbol;
        globalThis.Symbol = Object.defineProperties((description) => Original(description), properties);
      `,
    },
  );
  expect(found).toEqual({ absent: true, names: [], got: [1, 1, 1, 1], open: 0 });
});

test("without setImmediate deliveries that were put off are made all the same", async () => {
  const delivered = await resultInChild(
    async ({ core }) => {
      const value = new core.MemoryValue<number>();
      const watcher = value.watch();
      let sum = 0;
      for (let i = 0; i < 100_000; i++) {
        value.set(1);
        sum += await watcher.get();
      }
      const { signal } = new AbortController();
      value.watch({ signal }).close();
      return { sum, absent: typeof setImmediate };
    },
    { prelude: "delete globalThis.setImmediate;" },
  );
  expect(delivered).toEqual({ sum: 100_000, absent: "undefined" });
});

test("a process that watches and does nothing else ends by itself", async () => {
  const value = await resultInChild(async ({ core }) => {
    const value = new core.MemoryValue({ initial: 1 });
    const watcher = value.watch({ signal: new AbortController().signal });
    for (let i = 0; i < 50_000; i++) {
      value.set(i);
      await watcher.get();
    }
    void watcher.get({ signal: new AbortController().signal });
    void core.pipeTo(value, () => {});
    return "ended";
  });
  expect(value).toBe("ended");
});
