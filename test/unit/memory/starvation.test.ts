/**
 * C12: who produces and consumes in a tight loop does not starve timers and I/O.
 *
 * Every loop here goes on until a timer has fired, so one that starves it would never end: such loops run in a
 * process of their own, with a bound.
 */
import { describe, expect, test } from "vitest";
import { type Core, resultInChild } from "../../support/compiled.ts";

/** Runs `loop` with a function that tells whether to go on; gives whether a timer fired before the bound was met. */
async function firesDuring(loop: (core: Core, goOn: () => boolean) => Promise<unknown>): Promise<boolean> {
  const prelude = `globalThis.loop = ${loop.toString()};`;
  return resultInChild(
    async ({ core }) => {
      const run = (globalThis as unknown as { loop: typeof loop }).loop;
      let fired = false;
      let rounds = 0;
      const timer = setTimeout(() => (fired = true), 1);
      await run(core, () => !fired && ++rounds < 3_000_000);
      clearTimeout(timer);
      return fired;
    },
    { prelude },
  );
}

describe("C12: a timer fires during", () => {
  test("sets and gets of one loop", async () => {
    const fired = await firesDuring(async ({ MemoryValue }, goOn) => {
      const value = new MemoryValue<number>();
      const watcher = value.watch();
      for (let i = 0; goOn(); i++) {
        value.set(i);
        await watcher.get();
      }
    });
    expect(fired).toBe(true);
  });

  test("two loops that wake each other", async () => {
    const fired = await firesDuring(async ({ MemoryValue }, goOn) => {
      const [ping, pong] = [new MemoryValue<number>(), new MemoryValue<number>()];
      const [pings, pongs] = [ping.watch(), pong.watch()];
      const answering = (async () => {
        for await (const n of pings) pong.set(n);
      })();
      for (let i = 0; goOn(); i++) {
        ping.set(i);
        await pongs.get();
      }
      pings.close();
      await answering;
    });
    expect(fired).toBe(true);
  });

  test("a loop of lockstep sets and one of gets", async () => {
    const fired = await firesDuring(async ({ LockstepValue }, goOn) => {
      const value = new LockstepValue<number>();
      const watchers = [value.watch(), value.watch()];
      const consuming = watchers.map(async (watcher) => {
        for await (const _ of watcher);
      });
      for (let i = 0; goOn(); i++) await value.set(i);
      value.close();
      await Promise.all(consuming);
    });
    expect(fired).toBe(true);
  });

  test("gets with a filter, of a pipeline of operators and of combined values", async () => {
    const fired = await firesDuring(async ({ MemoryValue, map, filter, combine }, goOn) => {
      const value = new MemoryValue<number>();
      const watcher = filter(
        map(combine([value]), ([n]) => n),
        () => true,
      ).watch();
      for (let i = 0; goOn(); i++) {
        value.set(i);
        await watcher.get({ filter: () => true });
      }
    });
    expect(fired).toBe(true);
  });

  test("polling with backlogOnly, and gets that are aborted at once", async () => {
    const fired = await firesDuring(async ({ MemoryValue }, goOn) => {
      const watcher = new MemoryValue<number>().watch();
      while (goOn()) {
        await watcher.get({ backlogOnly: true }).catch(() => {});
        const controller = new AbortController();
        const get = watcher.get({ signal: controller.signal });
        controller.abort();
        await get.catch(() => {});
      }
    });
    expect(fired).toBe(true);
  });

  test("pipes in a circle", async () => {
    const fired = await firesDuring(async ({ MemoryValue, map, pipeTo }, goOn) => {
      const [there, back] = [new MemoryValue({ initial: 0 }), new MemoryValue<number>()];
      const pipes = [
        pipeTo(there, back),
        pipeTo(
          map(back, (n) => n + 1),
          there,
        ),
      ];
      const watcher = there.watch();
      for (;;) {
        await watcher.get();
        if (!goOn()) break;
      }
      there.close();
      back.close();
      await Promise.allSettled(pipes);
    });
    expect(fired).toBe(true);
  });

  test("the waking of a million watchers, which all are woken in the end", async () => {
    const { before, after, woken, values } = await resultInChild(async ({ core }) => {
      const many = 1_000_000;
      const value = new core.MemoryValue<number>();
      let woken = 0;
      const seen = new Set<number>();
      const onWake = (n: number): void => {
        woken++;
        seen.add(n);
      };
      for (let i = 0; i < many; i++) void value.watch().get().then(onWake);
      let before = -1;
      setTimeout(() => (before = woken), 0);
      await new Promise((resolve) => setImmediate(resolve));
      value.set(1);
      while (woken < many && before < 0) await new Promise((resolve) => setImmediate(resolve));
      const after = woken;
      while (woken < many) await new Promise((resolve) => setImmediate(resolve));
      return { before, after, woken, values: [...seen] };
    });
    expect(before).toBeGreaterThanOrEqual(0);
    expect(after).toBeLessThan(1_000_000);
    expect(woken).toBe(1_000_000);
    expect(values).toEqual([1]);
  });
});
