/** What filters may do while they are asked: anything. */
import { describe, expect, test } from "vitest";
import { LockstepValue, MemoryValue } from "../../../src/index.ts";
import { codeOf, rejection } from "../../support/promises.ts";

describe("a filter of a waiting get", () => {
  test("that sets the value and says no is asked about the newer one at once", async () => {
    const value = new MemoryValue<number>();
    using watcher = value.watch();
    const asked: number[] = [];
    const get = watcher.get({
      filter(n) {
        asked.push(n);
        if (n < 5) value.set(n + 1);
        return n === 5;
      },
    });
    value.set(1);
    expect(await get).toBe(5);
    expect(asked).toEqual([1, 2, 3, 4, 5]);
    expect(await codeOf(watcher.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
  });

  test("that sets the value and says yes gets what it was asked about, and the next get the newer one", async () => {
    const value = new MemoryValue<number>();
    using watcher = value.watch();
    const get = watcher.get({
      filter(n) {
        value.set(n + 1);
        return true;
      },
    });
    value.set(1);
    expect(await get).toBe(1);
    expect(await watcher.get({ backlogOnly: true })).toBe(2);
  });

  test("that sets the value wakes the other watchers with the newer one, or both, never back", async () => {
    const value = new MemoryValue<number>();
    const watchers = [value.watch(), value.watch(), value.watch()] as const;
    const before = watchers[0].get();
    const setting = watchers[1].get({
      filter(n) {
        if (n === 1) value.set(2);
        return n === 2;
      },
    });
    const after = watchers[2].get();
    value.set(1);
    expect(await Promise.all([before, setting, after])).toEqual([1, 2, 2]);
    expect(await watchers[0].get({ backlogOnly: true })).toBe(2);
    expect(await codeOf(watchers[2].get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
    for (const watcher of watchers) watcher.close();
  });

  test("that aborts its own get: a yes wins, a no rejects with the reason, and nothing further is asked", async () => {
    const value = new MemoryValue<number>();
    using watcher = value.watch();
    for (const accept of [true, false]) {
      for (const waiting of [true, false]) {
        const controller = new AbortController();
        let asked = 0;
        if (!waiting) value.set(1);
        const get = watcher.get({
          signal: controller.signal,
          filter() {
            asked++;
            controller.abort("enough");
            value.set(9);
            return accept;
          },
        });
        if (waiting) value.set(1);
        expect(await get.catch((reason: unknown) => reason)).toBe(accept ? 1 : "enough");
        expect(asked).toBe(1);
        expect(await watcher.get({ backlogOnly: true })).toBe(9);
      }
    }
  });

  test("that closes its watcher: a yes wins, a no rejects with EV_CLOSED, and nothing further is given", async () => {
    for (const accept of [true, false]) {
      for (const waiting of [true, false]) {
        const value = new MemoryValue<number>(waiting ? undefined : { initial: 1 });
        const watcher = value.watch();
        const get = watcher.get({
          filter() {
            watcher.close();
            value.set(2);
            return accept;
          },
        });
        if (waiting) value.set(1);
        if (accept) expect(await get).toBe(1);
        else expect(await codeOf(get)).toBe("EV_CLOSED");
        expect(await codeOf(watcher.get())).toBe("EV_CLOSED");
        expect(value.watcherCount).toBe(0);
      }
    }
  });

  test("that aborts the watch signal: a yes wins, a no rejects with the reason", async () => {
    for (const accept of [true, false]) {
      const value = new MemoryValue<number>();
      const controller = new AbortController();
      const watcher = value.watch({ signal: controller.signal });
      const get = watcher.get({
        filter() {
          controller.abort("stop");
          return accept;
        },
      });
      value.set(1);
      expect(await get.catch((reason: unknown) => reason)).toBe(accept ? 1 : "stop");
      expect(await rejection(watcher.get())).toBe("stop");
      expect(value.watcherCount).toBe(0);
    }
  });

  test("that ends the value: what it accepts is delivered, and what it refuses is the end", async () => {
    for (const accept of [true, false]) {
      const value = new MemoryValue<number>();
      const [watcher, other] = [value.watch(), value.watch()];
      const get = watcher.get({
        filter() {
          value.close();
          return accept;
        },
      });
      const waiting = other.get();
      value.set(1);
      if (accept) expect(await get).toBe(1);
      else expect(await codeOf(get)).toBe("EV_CLOSED");
      expect(await waiting).toBe(1);
      expect(await codeOf(watcher.get())).toBe("EV_CLOSED");
      expect(await codeOf(other.get())).toBe("EV_CLOSED");
      expect(value.watcherCount).toBe(0);
    }
  });

  test("that gets from its own watcher is refused, and from another is served", async () => {
    const value = new MemoryValue<number>();
    using watcher = value.watch();
    using other = value.watch();
    const inner: Promise<unknown>[] = [];
    const get = watcher.get({
      filter() {
        inner.push(watcher.get(), other.get());
        return true;
      },
    });
    value.set(1);
    expect(await get).toBe(1);
    expect(await codeOf(inner[0]!)).toBe("EV_CONCURRENT_GET");
    expect(await inner[1]).toBe(1);
  });

  test("that sets and then throws rejects the get; the newer value is the next", async () => {
    const value = new MemoryValue<number>();
    using watcher = value.watch();
    const error = new Error("cannot tell");
    const get = watcher.get({
      filter() {
        value.set(2);
        throw error;
      },
    });
    value.set(1);
    expect(await rejection(get)).toBe(error);
    expect(await watcher.get({ backlogOnly: true })).toBe(2);
  });

  test("that throws after it aborted, or closed, rejects with what it threw", async () => {
    const value = new MemoryValue<number>();
    const watcher = value.watch();
    const controller = new AbortController();
    const get = watcher.get({
      signal: controller.signal,
      filter() {
        controller.abort("enough");
        watcher.close();
        throw new Error("cannot tell");
      },
    });
    value.set(1);
    expect(await rejection(get)).toEqual(new Error("cannot tell"));
    expect(await codeOf(watcher.get())).toBe("EV_CLOSED");
    expect(value.watcherCount).toBe(0);
  });

  test("that closes, aborts or opens other watchers does that to them alone", async () => {
    const value = new MemoryValue<number>();
    const controller = new AbortController();
    const [first, second, third, fourth] = [value.watch(), value.watch(), value.watch(), value.watch()];
    const joined: Promise<number>[] = [];
    const acting = first.get({
      filter() {
        second.close();
        controller.abort("enough");
        joined.push(value.watch().get(), value.watch().get({ filter: (n) => n === 2 }));
        return true;
      },
    });
    const [closing, aborting, staying] = [second.get(), third.get({ signal: controller.signal }), fourth.get()];
    value.set(1);
    expect(await acting).toBe(1);
    // The set came first, for these too.
    expect(await Promise.all([closing, aborting, staying, joined[0]])).toEqual([1, 1, 1, 1]);
    expect(await codeOf(second.get())).toBe("EV_CLOSED");
    value.set(2);
    expect(await joined[1]).toBe(2);
  });

  test("of every watcher may set without end, as long as it says yes in the end", async () => {
    const value = new MemoryValue<number>();
    const gets = Array.from({ length: 20 }, () =>
      value.watch().get({
        filter(n) {
          if (n < 100) value.set(n + 1);
          return n >= 100;
        },
      }),
    );
    value.set(0);
    expect(new Set(await Promise.all(gets))).toEqual(new Set([100]));
  });
});

describe("a filter on a LockstepValue", () => {
  test("that sets queues behind the set it is asked about", async () => {
    const value = new LockstepValue<number>();
    using watcher = value.watch();
    const sets: Promise<void>[] = [];
    const get = watcher.get({
      filter(n) {
        if (n === 1) sets.push(value.set(2), value.set(3));
        return n === 3;
      },
    });
    await value.set(1);
    expect(await get).toBe(3);
    await Promise.all(sets);
  });

  test("that closes its watcher releases the set", async () => {
    for (const accept of [true, false]) {
      const value = new LockstepValue<number>();
      const watcher = value.watch();
      const get = watcher.get({
        filter() {
          watcher.close();
          return accept;
        },
      });
      await value.set(1);
      await value.set(2);
      if (accept) expect(await get).toBe(1);
      else expect(await codeOf(get)).toBe("EV_CLOSED");
      expect(value.watcherCount).toBe(0);
    }
  });

  test("that opens a watcher has it begin with the value in delivery", async () => {
    const value = new LockstepValue<number>();
    using watcher = value.watch();
    using other = value.watch();
    const joined: Promise<number>[] = [];
    const get = watcher.get({
      filter() {
        joined.push(value.watch().get());
        return true;
      },
    });
    const set = value.set(1);
    expect(await get).toBe(1);
    expect(await joined[0]).toBe(1);
    expect(await other.get()).toBe(1);
    await set;
  });

  test("that ends the value: the value in delivery is still delivered", async () => {
    const value = new LockstepValue<number>();
    const [watcher, other] = [value.watch(), value.watch()];
    const get = watcher.get({
      filter() {
        value.close();
        return true;
      },
    });
    const set = value.set(1);
    const queued = codeOf(value.set(2));
    expect(await get).toBe(1);
    expect(await other.get()).toBe(1);
    await set;
    expect(await queued).toBe("EV_CLOSED");
    expect(await codeOf(watcher.get())).toBe("EV_CLOSED");
    expect(await codeOf(other.get())).toBe("EV_CLOSED");
  });
});
