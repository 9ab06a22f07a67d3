import { getEventListeners } from "node:events";
import { describe, expect, test, vi } from "vitest";
import { combine, LockstepValue, map, MemoryValue, type Watchable } from "../../../src/index.ts";
import { codeOf, microtasks, observe, rejection, turn } from "../../support/promises.ts";

describe("combine", () => {
  test("gives an object for an object, and an array for a tuple", async () => {
    const host = new MemoryValue({ initial: "db1" });
    const port = new MemoryValue({ initial: 5432 });
    using object = combine({ host, port }).watch();
    using tuple = combine([host, port]).watch();
    expect(await object.get()).toEqual({ host: "db1", port: 5432 });
    expect(await tuple.get()).toEqual(["db1", 5432]);
    port.set(1);
    expect(await object.get()).toEqual({ host: "db1", port: 1 });
    expect(await tuple.get()).toEqual(["db1", 1]);
  });

  test("gives a new object each time, which is the caller's", async () => {
    const a = new MemoryValue({ initial: 1 });
    using watcher = combine({ a }).watch();
    const first = await watcher.get();
    first.a = 9;
    a.set(2);
    const second = await watcher.get();
    expect([first, second]).toEqual([{ a: 9 }, { a: 2 }]);
  });

  test("has no value before each member has one; undefined is one", async () => {
    const [a, b, c] = [new MemoryValue<number>(), new MemoryValue<undefined>(), new MemoryValue({ initial: 3 })];
    using watcher = combine([a, b, c]).watch();
    expect(await codeOf(watcher.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
    const waiting = observe(watcher.get());
    a.set(1);
    await turn();
    a.set(2);
    await turn();
    expect(waiting()).toEqual({ state: "pending" });
    b.set(undefined);
    await turn();
    expect(waiting()).toEqual({ state: "fulfilled", value: [2, undefined, 3] });
  });

  test("conflates: several members set in one tick are one value, to who waits and to who does not", async () => {
    const [a, b] = [new MemoryValue({ initial: 1 }), new MemoryValue({ initial: 1 })];
    using watcher = combine([a, b]).watch();
    using idle = combine([a, b]).watch();
    await watcher.get();
    const waiting = watcher.get();
    a.set(2);
    b.set(2);
    expect(await waiting).toEqual([2, 2]);
    expect(await codeOf(watcher.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
    for (let n = 3; n < 100; n++) {
      a.set(n);
      if (n % 3 === 0) b.set(-n);
    }
    expect(await watcher.get()).toEqual([99, -99]);
    expect(await idle.get()).toEqual([99, -99]);
    expect(await codeOf(watcher.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
  });

  test("notifies of an equal value as its members do", async () => {
    const [a, b] = [new MemoryValue({ initial: 1 }), new MemoryValue({ initial: 1 })];
    using watcher = combine([a, b]).watch();
    await watcher.get();
    const waiting = watcher.get();
    b.set(1);
    expect(await waiting).toEqual([1, 1]);
  });

  test("asks the filter of a get about combined values", async () => {
    const [a, b] = [new MemoryValue({ initial: 1 }), new MemoryValue({ initial: 1 })];
    using watcher = combine({ a, b }).watch();
    const equal = watcher.get({ filter: (value) => value.a === value.b && value.a > 1 });
    for (const [n, m] of [
      [2, 1],
      [2, 3],
      [3, 3],
    ] as const) {
      await turn();
      a.set(n);
      b.set(m);
    }
    expect(await equal).toEqual({ a: 3, b: 3 });
  });

  test("asks the filter about no combination that was overwritten before the get began", async () => {
    const [a, b] = [new MemoryValue({ initial: 1 }), new MemoryValue({ initial: 1 })];
    using watcher = combine({ a, b }).watch();
    await watcher.get();
    a.set(2);
    b.set(2);
    const asked: { a: number; b: number }[] = [];
    const differing = observe(
      watcher.get({
        filter(value) {
          asked.push(value);
          return value.a !== value.b;
        },
      }),
    );
    await turn();
    expect([asked, differing()]).toEqual([[{ a: 2, b: 2 }], { state: "pending" }]);
    b.set(3);
    await turn();
    expect(differing()).toEqual({ state: "fulfilled", value: { a: 2, b: 3 } });
  });

  test("leaves to the next get what the filter refuses, or throws at, after it accepted another in that tick", async () => {
    for (const refuse of [() => false, () => expect.fail("cannot tell")]) {
      const [a, b] = [new MemoryValue({ initial: 1 }), new MemoryValue({ initial: 1 })];
      using watcher = combine([a, b]).watch();
      await watcher.get();
      const accepted = watcher.get({ filter: ([, second]) => second === 1 || refuse() });
      a.set(2);
      b.set(2);
      expect(await accepted).toEqual([2, 1]);
      expect(await watcher.get({ backlogOnly: true })).toEqual([2, 2]);
    }
  });

  test("loses nothing to a filter that sets a member while it is asked", async () => {
    const [a, b] = [new MemoryValue({ initial: 1 }), new MemoryValue({ initial: 1 })];
    using watcher = combine([a, b]).watch();
    await watcher.get();
    const get = watcher.get({
      filter([, second]) {
        if (second === 1) b.set(2);
        return true;
      },
    });
    a.set(2);
    const delivered = [await get];
    await watcher.get({ backlogOnly: true }).then(
      (value) => delivered.push(value),
      () => {},
    );
    expect(delivered.at(-1)).toEqual([2, 2]);
  });

  test("loses no member's value to an abort, at whatever moment it comes", async () => {
    const [a, b] = [new MemoryValue<number>(), new MemoryValue<number>()];
    using watcher = combine([a, b]).watch();
    a.set(0);
    b.set(0);
    await watcher.get();
    for (let n = 1; n <= 60; n++) {
      const controller = new AbortController();
      const get = watcher.get({ signal: controller.signal });
      await microtasks(n % 5);
      a.set(n);
      await microtasks(n % 7);
      controller.abort("enough");
      await microtasks(n % 3);
      b.set(n);
      let got = await get.catch(() => undefined);
      while (got?.[0] !== n || got[1] !== n) got = await watcher.get({ backlogOnly: true });
    }
  });

  test("does not deliver an old value of a member that changed since an aborted get", async () => {
    const [a, b] = [new MemoryValue<number>(), new MemoryValue<number>()];
    using watcher = combine([a, b]).watch();
    const controller = new AbortController();
    const get = watcher.get({ signal: controller.signal });
    a.set(1);
    await turn();
    controller.abort("enough");
    expect(await rejection(get)).toBe("enough");
    a.set(2);
    b.set(2);
    expect(await rejection(watcher.get({ signal: controller.signal }))).toBe("enough");
    expect(await watcher.get()).toEqual([2, 2]);
  });

  test("goes on without a member that ended, with its last value, and ends with the last of them", async () => {
    const [a, b] = [new MemoryValue({ initial: 1 }), new MemoryValue({ initial: 1 })];
    using watcher = combine([a, b]).watch();
    await watcher.get();
    const waiting = watcher.get();
    a.set(2);
    a.close();
    expect(await waiting).toEqual([2, 1]);
    const next = watcher.get();
    await turn();
    b.set(2);
    expect(await next).toEqual([2, 2]);
    const last = watcher.get();
    b.close();
    expect(await codeOf(last)).toBe("EV_CLOSED");
    expect(await codeOf(watcher.get())).toBe("EV_CLOSED");
  });

  test("delivers what its members had last, when they all ended before it was asked", async () => {
    const [a, b] = [new MemoryValue<number>(), new MemoryValue<number>()];
    const watcher = combine([a, b]).watch();
    a.set(1);
    b.set(2);
    a.close();
    b.close();
    expect(await watcher.get()).toEqual([1, 2]);
    expect(await codeOf(watcher.get())).toBe("EV_CLOSED");
  });

  test("ends at once where a member ends that never had a value, and closes the others", async () => {
    const [a, never] = [new MemoryValue({ initial: 1 }), new MemoryValue<number>()];
    const watcher = combine([a, never]).watch();
    const get = watcher.get();
    never.close();
    expect(await codeOf(get)).toBe("EV_CLOSED");
    expect(await codeOf(watcher.get())).toBe("EV_CLOSED");
    expect(a.watcherCount).toBe(0);
  });

  test("of nothing is one empty value, and then ends", async () => {
    using watcher = combine({}).watch();
    expect(await watcher.get()).toEqual({});
    expect(await codeOf(watcher.get())).toBe("EV_CLOSED");
    const controller = new AbortController();
    const cancelled = combine([]).watch({ signal: controller.signal });
    controller.abort("enough");
    expect(await rejection(cancelled.get())).toBe("enough");
  });

  test("passes an error of a member on, and stays usable", async () => {
    const [a, b] = [new MemoryValue({ initial: 1 }), new MemoryValue({ initial: 1 })];
    const error = new Error("cannot");
    const fails = map(b, (n) => {
      if (n === 2) throw error;
      return n;
    });
    using watcher = combine([a, fails]).watch();
    expect(await watcher.get()).toEqual([1, 1]);
    const waiting = watcher.get();
    b.set(2);
    expect(await rejection(waiting)).toBe(error);
    expect(await codeOf(watcher.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
    b.set(3);
    expect(await watcher.get()).toEqual([1, 3]);
  });

  test("tells of an error of a member in the next get, where another member had a value in the same tick", async () => {
    const [a, b] = [new MemoryValue({ initial: 1 }), new MemoryValue({ initial: 1 })];
    const error = new Error("cannot");
    const fails = map(b, (n) => {
      if (n === 2) throw error;
      return n;
    });
    using watcher = combine([a, fails]).watch();
    expect(await watcher.get()).toEqual([1, 1]);
    const waiting = watcher.get();
    a.set(2);
    b.set(2);
    expect(await waiting).toEqual([2, 1]);
    a.set(3);
    expect(await rejection(watcher.get())).toBe(error);
    expect(await watcher.get()).toEqual([3, 1]);
  });

  test("waits with backlogOnly for members that take their time to tell what they have", async () => {
    const source = new MemoryValue({ initial: 1 });
    const slow: Watchable<number> = {
      watch(options) {
        const watcher = source.watch(options);
        const get = watcher.get.bind(watcher);
        watcher.get = async (given?: object) => {
          await turn();
          return get(given) as Promise<never>;
        };
        return watcher;
      },
    };
    using watcher = combine([new MemoryValue({ initial: 2 }), slow]).watch();
    expect(await watcher.get({ backlogOnly: true })).toEqual([2, 1]);
    expect(await codeOf(watcher.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
  });

  test("closes the watchers of its members, whichever way it is closed", async () => {
    const [a, b] = [new MemoryValue({ initial: 1 }), new MemoryValue({ initial: 1 })];
    const both = combine([a, b]);
    const open = (): number => a.watcherCount + b.watcherCount;
    const watcher = both.watch();
    expect(open()).toBe(2);
    watcher.close();
    expect(open()).toBe(0);
    for await (const _ of both.watch()) break;
    expect(open()).toBe(0);
    const controller = new AbortController();
    const waiting = both.watch({ signal: controller.signal }).get({ filter: () => false });
    controller.abort("enough");
    expect(await rejection(waiting)).toBe("enough");
    expect(open()).toBe(0);
    await turn();
    expect(getEventListeners(controller.signal, "abort")).toHaveLength(0);
  });

  test("closes those it has opened where a member cannot be watched", () => {
    const [a, ended] = [new MemoryValue({ initial: 1 }), new MemoryValue({ initial: 1 })];
    ended.close();
    expect(() => combine([a, ended]).watch()).toThrow(expect.objectContaining({ code: "EV_CLOSED" }));
    expect(a.watcherCount).toBe(0);
  });

  test("gives nothing to a get with an aborted signal, though an earlier one left all that it takes", async () => {
    const [a, b] = [new MemoryValue({ initial: 1 }), new MemoryValue<number>()];
    using watcher = combine([a, b]).watch();
    const controller = new AbortController();
    const get = watcher.get({ signal: controller.signal });
    controller.abort("enough");
    b.set(2);
    expect(await rejection(get)).toBe("enough");
    expect(await rejection(watcher.get({ signal: controller.signal }))).toBe("enough");
    expect(await rejection(watcher.get({ signal: controller.signal, backlogOnly: true }))).toBe("enough");
    expect(await watcher.get({ backlogOnly: true })).toEqual([1, 2]);
  });

  test("gives the reason of the watch signal in every later get, though something was left to deliver", async () => {
    const [a, b] = [new MemoryValue<number>(), new MemoryValue({ initial: 1 })];
    const controllers = [new AbortController(), new AbortController()] as const;
    const watcher = combine([a, b]).watch({ signal: controllers[0].signal });
    const get = watcher.get({ signal: controllers[1].signal });
    await turn();
    controllers[1].abort("get");
    expect(await rejection(get)).toBe("get");
    a.set(1);
    controllers[0].abort("watch");
    expect(await rejection(watcher.get())).toBe("watch");
    expect(await rejection(watcher.get({ backlogOnly: true }))).toBe("watch");
  });

  test("asks its members for nothing between gets", async () => {
    const lockstep = new LockstepValue({ initial: 1 });
    const source = lockstep.watch.bind(lockstep);
    const gets = vi.fn<() => void>();
    const counted: Watchable<number> = {
      watch(options) {
        const watcher = source(options);
        const get = watcher.get.bind(watcher);
        watcher.get = (options?: object) => {
          gets();
          return get(options) as Promise<never>;
        };
        return watcher;
      },
    };
    using watcher = combine([counted, new MemoryValue({ initial: 1 })]).watch();
    expect(await watcher.get()).toEqual([1, 1]);
    const asked = gets.mock.calls.length;
    const set = observe(lockstep.set(2));
    await turn();
    expect([gets.mock.calls.length, set()]).toEqual([asked, { state: "pending" }]);
    expect(await watcher.get()).toEqual([2, 1]);
    await turn();
    expect(set().state).toBe("fulfilled");
  });

  test("can be nested, and can hold one value twice", async () => {
    const [a, b] = [new MemoryValue({ initial: 1 }), new MemoryValue({ initial: 1 })];
    using watcher = combine({ both: combine([a, b]), again: a }).watch();
    expect(await watcher.get()).toEqual({ both: [1, 1], again: 1 });
    for (let n = 2; n < 20; n++) {
      const waiting = watcher.get();
      await microtasks(n);
      a.set(n);
      b.set(n);
      let got = await waiting;
      while (got.again !== n || got.both[0] !== n || got.both[1] !== n) got = await watcher.get();
    }
  });

  test("lets the loops of many watchers all see the last of many sets", async () => {
    const members = { a: new MemoryValue({ initial: 0 }), b: new MemoryValue({ initial: 0 }) };
    const loops = Array.from({ length: 10 }, async (_, speed) => {
      let before = { a: 0, b: 0 };
      for await (const value of combine(members).watch()) {
        expect(value.a >= before.a && value.b >= before.b).toBe(true);
        before = value;
        if (value.a === 100 && value.b === 100) break;
        for (let i = 0; i < speed % 4; i++) await turn();
      }
    });
    for (let n = 1; n <= 100; n++) {
      members.a.set(n);
      await microtasks(n % 6);
      members.b.set(n);
      if (n % 5 === 0) await turn();
    }
    await Promise.all(loops);
    expect(members.a.watcherCount + members.b.watcherCount).toBe(0);
  });

  test("refuses what is not watchable with a TypeError at the call", () => {
    const a = new MemoryValue({ initial: 1 });
    for (const wrong of [undefined, null, 1, {}, { watch: true }]) {
      expect(() => combine([a, wrong as never])).toThrow(TypeError);
      expect(() => combine({ a, wrong: wrong as never })).toThrow(TypeError);
    }
    for (const wrong of [undefined, null]) expect(() => combine(wrong as never)).toThrow(TypeError);
    expect(() => combine([a]).watch({ sgnal: 1 } as never)).toThrow('unknown option "sgnal"');
    expect(() => combine([]).watch({ sgnal: 1 } as never)).toThrow('unknown option "sgnal"');
    using watcher = combine([]).watch();
    expect(() => watcher.get({ sgnal: 1 } as never)).toThrow('unknown option "sgnal"');
    expect(a.watcherCount).toBe(0);
  });
});
