import { getEventListeners } from "node:events";
import { describe, expect, test, vi } from "vitest";
import { LockstepValue, type Watcher } from "../../../src/index.ts";
import { codeOf, type Outcome, observe, rejection, turn } from "../../support/promises.ts";

const done: Outcome = { state: "fulfilled", value: undefined };
const pending: Outcome = { state: "pending" };

/** What `watcher` is given until `last`. */
async function log(
  watcher: Watcher<number>,
  last: number,
  pause: () => Promise<void> = async () => {},
): Promise<number[]> {
  const seen: number[] = [];
  while (seen.at(-1) !== last) {
    await pause();
    seen.push(await watcher.get());
  }
  return seen;
}

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe("L1: a set", () => {
  test("resolves at once where there are no watchers", async () => {
    const value = new LockstepValue<number>();
    const sets = [observe(value.set(1)), observe(value.set(2))];
    expect(value.current).toBe(2);
    await turn();
    expect(sets.map((set) => set())).toEqual([done, done]);
    value.watch().close();
    await value.set(3);
  });

  test("resolves when the last of the watchers has returned the value from a get", async () => {
    const value = new LockstepValue<number>();
    const watchers = [value.watch(), value.watch(), value.watch()] as const;
    const waiting = watchers[0].get();
    const set = observe(value.set(1));
    expect(await waiting).toBe(1);
    expect(await watchers[1].get()).toBe(1);
    await turn();
    expect(set()).toEqual(pending);
    expect(await watchers[2].get()).toBe(1);
    await turn();
    expect(set()).toEqual(done);
  });

  test("resolves at once where every watcher waits", async () => {
    const value = new LockstepValue<number>();
    const gets = [value.watch().get(), value.watch().get()];
    await value.set(1);
    expect(await Promise.all(gets)).toEqual([1, 1]);
  });

  test("is blocked by an unattended watcher and released by its get", async () => {
    const value = new LockstepValue<number>();
    using watcher = value.watch();
    const set = observe(value.set(1));
    await turn();
    expect(set()).toEqual(pending);
    expect(await watcher.get()).toBe(1);
    await turn();
    expect(set()).toEqual(done);
  });

  test("is blocked by an unattended watcher and released by its abort", async () => {
    const value = new LockstepValue<number>();
    const controller = new AbortController();
    value.watch({ signal: controller.signal });
    const set = observe(value.set(1));
    await turn();
    expect(set()).toEqual(pending);
    controller.abort();
    await turn();
    expect(set()).toEqual(done);
  });

  test("is blocked by an unattended watcher and released by its close", async () => {
    const value = new LockstepValue<number>();
    const watcher = value.watch();
    const set = observe(value.set(1));
    await turn();
    expect(set()).toEqual(pending);
    watcher.close();
    await turn();
    expect(set()).toEqual(done);
  });

  test("is released by leaving a loop, and by the end of a using block", async () => {
    const value = new LockstepValue<number>();
    const unattended = value.watch();
    const first = value.set(1);
    const sets = [observe(first), observe(value.set(2)), observe(value.set(3))];
    for await (const n of unattended) {
      expect(n).toBe(1);
      break;
    }
    {
      using watcher = value.watch();
      const held = observe(value.set(4));
      await turn();
      expect(held()).toEqual(pending);
      expect(await watcher.get()).toBe(4);
      sets.push(held, observe(value.set(5)));
    }
    await turn();
    expect(sets.map((set) => set())).toEqual([done, done, done, done, done]);
    expect(value.watcherCount).toBe(0);
  });

  test("counts a value as returned that the filter of a get skipped, or threw at", async () => {
    const value = new LockstepValue<number>();
    using skipping = value.watch();
    using throwing = value.watch();
    const get = skipping.get({ filter: (n) => n === 3 });
    const thrown = rejection(
      throwing.get({
        filter() {
          throw new Error("cannot tell");
        },
      }),
    );
    await value.set(1);
    expect(await thrown).toEqual(new Error("cannot tell"));
    const second = observe(value.set(2));
    await turn();
    expect(second()).toEqual(pending);
    expect(await throwing.get()).toBe(2);
    await turn();
    expect(second()).toEqual(done);
    const third = value.set(3);
    expect(await get).toBe(3);
    expect(await throwing.get()).toBe(3);
    await third;
  });

  test("may be called by a filter that is given the value of another: it has its turn afterwards", async () => {
    const value = new LockstepValue<number>();
    using watcher = value.watch();
    let second: Promise<void> | undefined;
    const filter = (given: number): boolean => {
      if (given === 1) second = value.set(2);
      return given === 2;
    };
    const got = watcher.get({ filter });
    // Sets with and without options come to their turns by two ways.
    await value.set(1);
    expect(await got).toBe(2);
    await second;
    const again = watcher.get({ filter });
    await value.set(1, { signal: new AbortController().signal });
    expect(await again).toBe(2);
    expect(value.current).toBe(2);
  });

  test("is not held up by watchers opened after its turn, but the next one is", async () => {
    const value = new LockstepValue<number>();
    using before = value.watch();
    const first = observe(value.set(1));
    using after = value.watch();
    expect(await before.get()).toBe(1);
    await turn();
    expect(first()).toEqual(done);
    const second = observe(value.set(2));
    const get = observe(before.get());
    await turn();
    expect([get(), second(), value.current]).toEqual([pending, pending, 1]);
    expect(await after.get()).toBe(1);
    expect(await after.get()).toBe(2);
    await turn();
    expect([get(), second()]).toEqual([{ state: "fulfilled", value: 2 }, done]);
  });

  test("resolves with nothing, an update with its value", async () => {
    const value = new LockstepValue({ initial: 1 });
    expect(await value.set(2)).toBe(undefined);
    expect(await value.update((n) => n * 10)).toBe(20);
    using watcher = value.watch();
    const update = value.update((n) => n + 1);
    expect(await watcher.get()).toBe(21);
    expect(await update).toBe(21);
  });
});

describe("L2: the log of a watcher", () => {
  test("has no gap and no repetition, whatever the speed of the watchers and the number of producers", async () => {
    const value = new LockstepValue<number>();
    const logs = Array.from({ length: 12 }, (_, speed) =>
      log(value.watch(), 60, async () => {
        for (let i = 0; i < speed % 4; i++) await turn();
      }),
    );
    await Promise.all(numbers(1, 60).map((n) => value.set(n)));
    for (const seen of await Promise.all(logs)) expect(seen).toEqual(numbers(1, 60));
  });

  test("begins, for a watcher that joins at any time, with the value in delivery, and misses none of the queued ones", async () => {
    const value = new LockstepValue<number>();
    const first = log(value.watch(), 40, turn);
    const sets = numbers(1, 40).map((n) => value.set(n));
    const joined: Promise<number[]>[] = [];
    const begins: number[] = [];
    for (let i = 0; i < 12; i++) {
      begins.push(value.current!);
      joined.push(log(value.watch(), 40, i % 2 === 0 ? turn : undefined));
      await turn();
      await turn();
    }
    await Promise.all(sets);
    expect(await first).toEqual(numbers(1, 40));
    for (const [i, seen] of (await Promise.all(joined)).entries()) expect(seen).toEqual(numbers(begins[i]!, 40));
    expect(new Set(begins).size).toBeGreaterThan(3);
  });

  test("is in the order of the calls where sets and updates are queued together", async () => {
    const value = new LockstepValue<number>();
    using watcher = value.watch();
    const settled: string[] = [];
    const results = [
      value.set(1).then(() => settled.push("set 1")),
      value.update((n) => n! * 10).then(() => settled.push("update")),
      value.set(5).then(() => settled.push("set 5")),
      value.update((n) => n! + 1).then(() => settled.push("update again")),
    ];
    expect([await watcher.get(), await watcher.get(), await watcher.get(), await watcher.get()]).toEqual([1, 10, 5, 6]);
    await Promise.all(results);
    expect(settled).toEqual(["set 1", "update", "set 5", "update again"]);
  });

  test("begins with the current value for a watcher that joins while nothing is in delivery, which holds nothing up", async () => {
    const value = new LockstepValue({ initial: 0 });
    using reader = value.watch();
    using idle = value.watch();
    expect(await reader.get()).toBe(0);
    const first = observe(value.set(1));
    // Its turn comes at once: nobody owes the initial value. The idle joiner begins with the newest.
    expect(value.current).toBe(1);
    expect(await idle.get()).toBe(1);
    expect(await reader.get()).toBe(1);
    await turn();
    expect(first()).toEqual(done);
  });

  test("begins with the newest for an idle joiner also where several sets are queued", async () => {
    const value = new LockstepValue({ initial: 0 });
    using idle = value.watch();
    const sets = [value.set(1), value.set(2)];
    expect(await log(idle, 2)).toEqual([1, 2]);
    await Promise.all(sets);
  });

  test("goes on for the others when one closes in the middle of a delivery", async () => {
    const value = new LockstepValue<number>();
    const [staying, leaving, joining] = [value.watch(), value.watch(), value.watch()];
    const sets = [value.set(1), value.set(2), value.set(3)];
    expect(await staying.get()).toBe(1);
    expect(await joining.get()).toBe(1);
    leaving.close();
    expect(await staying.get()).toBe(2);
    joining.close();
    expect(await staying.get()).toBe(3);
    await Promise.all(sets);
    expect(value.watcherCount).toBe(1);
    staying.close();
  });

  test("holds nothing of a joiner that closed before its first get", async () => {
    const value = new LockstepValue<number>();
    using watcher = value.watch();
    const first = value.set(1);
    const second = observe(value.set(2));
    const joiner = value.watch();
    expect(await watcher.get()).toBe(1);
    await first;
    expect(value.current).toBe(1);
    joiner.close();
    expect(value.current).toBe(2);
    expect(await watcher.get()).toBe(2);
    await turn();
    expect(second()).toEqual(done);
  });
});

describe("L3: cancellation", () => {
  test("an aborted get loses no value and releases no set", async () => {
    const value = new LockstepValue<number>();
    using watcher = value.watch();
    const controller = new AbortController();
    const get = watcher.get({ signal: controller.signal });
    controller.abort("enough");
    const set = observe(value.set(1));
    expect(await rejection(get)).toBe("enough");
    expect(await rejection(watcher.get({ signal: controller.signal }))).toBe("enough");
    await turn();
    expect(set()).toEqual(pending);
    expect(await watcher.get()).toBe(1);
    await turn();
    expect(set()).toEqual(done);
  });

  test("aborting a set in delivery stops the wait only: the value is still delivered, and the next set waits for that", async () => {
    const value = new LockstepValue<number>();
    using watcher = value.watch();
    const controller = new AbortController();
    const first = value.set(1, { signal: controller.signal });
    const second = observe(value.set(2));
    controller.abort("enough");
    expect(await rejection(first)).toBe("enough");
    await turn();
    expect([second(), value.current]).toEqual([pending, 1]);
    expect(await watcher.get()).toBe(1);
    expect(value.current).toBe(2);
    expect(await watcher.get()).toBe(2);
    await turn();
    expect(second()).toEqual(done);
  });

  test("aborting a queued set sets nothing, and leaves the order of the others", async () => {
    const value = new LockstepValue<number>();
    using watcher = value.watch();
    const controllers = numbers(0, 5).map(() => new AbortController());
    const sets = controllers.map(({ signal }, i) => value.set(i, { signal }));
    controllers[4]!.abort("four");
    controllers[1]!.abort("one");
    expect(await rejection(sets[4]!)).toBe("four");
    expect(await rejection(sets[1]!)).toBe("one");
    expect(await log(watcher, 5)).toEqual([0, 2, 3, 5]);
    await Promise.all([sets[0], sets[2], sets[3], sets[5]]);
  });

  test("a set with an aborted signal sets nothing, also where nobody watches", async () => {
    const value = new LockstepValue({ initial: 0 });
    const signal = AbortSignal.abort("before");
    expect(await rejection(value.set(1, { signal }))).toBe("before");
    const change = vi.fn<() => number>(() => 1);
    expect(await rejection(value.update(change, { signal }))).toBe("before");
    expect(change).not.toHaveBeenCalled();
    expect(value.current).toBe(0);
  });

  test("an abort after the set resolved does nothing", async () => {
    const value = new LockstepValue<number>();
    const controller = new AbortController();
    const set = value.set(1, { signal: controller.signal });
    controller.abort();
    await set;
    expect(value.current).toBe(1);
  });

  test("first wins: delivered then aborted resolves, aborted then delivered rejects", async () => {
    const value = new LockstepValue<number>();
    using watcher = value.watch();
    const controllers = [new AbortController(), new AbortController()] as const;
    const delivered = value.set(1, { signal: controllers[0].signal });
    const get = watcher.get();
    controllers[0].abort();
    await delivered;
    expect(await get).toBe(1);
    const aborted = value.set(2, { signal: controllers[1].signal });
    controllers[1].abort("enough");
    expect(await watcher.get()).toBe(2);
    expect(await rejection(aborted)).toBe("enough");
  });

  test("a signal that is aborted while the set takes its turn stops the wait, too", async () => {
    const value = new LockstepValue<number>();
    using unattended = value.watch();
    const controller = new AbortController();
    const update = observe(
      value.update(
        () => {
          controller.abort("enough");
          return 1;
        },
        { signal: controller.signal },
      ),
    );
    await turn();
    expect(update()).toEqual({ state: "rejected", reason: "enough" });

    const again = new AbortController();
    using waiting = value.watch();
    await waiting.get();
    const accepted = waiting.get({
      filter() {
        again.abort("again");
        return true;
      },
    });
    const set = observe(value.set(2, { signal: again.signal }));
    expect(await unattended.get()).toBe(1);
    expect(await accepted).toBe(2);
    await turn();
    expect(set()).toEqual({ state: "rejected", reason: "again" });
    expect(await unattended.get()).toBe(2);
  });

  test("a queued set is undone by its signal also where that closes the watcher it waits for, first", async () => {
    const value = new LockstepValue<number>();
    const controller = new AbortController();
    value.watch({ signal: controller.signal });
    const first = value.set(1);
    const queued = value.set(2, { signal: controller.signal });
    const last = value.set(3);
    controller.abort("all");
    expect(await rejection(queued)).toBe("all");
    await Promise.all([first, last]);
    const current = value.current;
    using watcher = value.watch();
    expect([current, await watcher.get()]).toEqual([3, 3]);

    const again = new AbortController();
    value.watch({ signal: again.signal });
    const sets = [value.set(4), rejection(value.set(5, { signal: again.signal }))];
    expect(await watcher.get()).toBe(4);
    again.abort("again");
    expect(await Promise.all(sets)).toEqual([undefined, "again"]);
    expect(value.current).toBe(4);
  });

  test("a thousand queued sets of one signal take one listener, and its abort undoes all that are queued", async () => {
    const value = new LockstepValue<number>();
    const controller = new AbortController();
    const warned = vi.fn<() => void>();
    process.on("warning", warned);
    using watcher = value.watch();
    const sets = numbers(1, 1000).map((n) => value.set(n, { signal: controller.signal }));
    const last = value.set(1001);
    expect(getEventListeners(controller.signal, "abort")).toHaveLength(1);
    controller.abort("all");
    expect(new Set(await Promise.all(sets.map(rejection)))).toEqual(new Set(["all"]));
    expect(await log(watcher, 1001)).toEqual([1, 1001]);
    await last;
    await turn();
    process.off("warning", warned);
    expect(warned).not.toHaveBeenCalled();
  });

  test("sets that resolve at once add no listener to their signal", async () => {
    const value = new LockstepValue<number>();
    const { signal } = new AbortController();
    await value.set(1, { signal });
    using watcher = value.watch();
    expect(await watcher.get()).toBe(1);
    const waiting = watcher.get();
    await value.set(2, { signal });
    expect(await waiting).toBe(2);
    await rejection(
      value.update(
        () => {
          throw new Error("cannot");
        },
        { signal },
      ),
    );
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });

  test("sets that resolved leave no listener on their signal", async () => {
    const value = new LockstepValue<number>();
    const { signal } = new AbortController();
    using watcher = value.watch();
    for (let i = 0; i < 1000; i++) {
      const set = value.set(i, { signal });
      expect(await watcher.get()).toBe(i);
      await set;
    }
    await turn();
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });
});

describe("L3: update", () => {
  test("is computed when its turn comes", async () => {
    const value = new LockstepValue({ initial: 0 });
    using watcher = value.watch();
    await watcher.get();
    const change = vi.fn<(n: number) => number>((n) => n + 100);
    const sets = [value.set(1), value.update(change), value.set(3)];
    expect(change).not.toHaveBeenCalled();
    expect(await watcher.get()).toBe(1);
    expect(change).toHaveBeenCalledExactlyOnceWith(1);
    expect(await log(watcher, 3)).toEqual([101, 3]);
    await Promise.all(sets);
  });

  test("that throws rejects and sets nothing, and the next set has its turn", async () => {
    const value = new LockstepValue<number>();
    using watcher = value.watch();
    const error = new Error("cannot");
    const fail = (): never => {
      throw error;
    };
    const first = value.set(1);
    const failing = [value.update(fail), value.update(() => Promise.resolve(9) as never)];
    const last = value.set(2);
    expect(await log(watcher, 2)).toEqual([1, 2]);
    expect(await rejection(failing[0]!)).toBe(error);
    expect(await rejection(failing[1]!)).toBeInstanceOf(TypeError);
    await Promise.all([first, last]);
    const alone = value.update(fail);
    expect(await rejection(alone)).toBe(error);
    expect(value.current).toBe(2);
  });

  test("that was aborted while queued is never computed", async () => {
    const value = new LockstepValue<number>();
    using watcher = value.watch();
    const controller = new AbortController();
    const change = vi.fn<() => number>(() => 9);
    const sets = [value.set(1), value.set(2)];
    const update = value.update(change, { signal: controller.signal });
    controller.abort("enough");
    expect(await rejection(update)).toBe("enough");
    expect(await log(watcher, 2)).toEqual([1, 2]);
    await Promise.all(sets);
    expect(change).not.toHaveBeenCalled();
  });

  test("may set, watch and close: what it sets is queued", async () => {
    const value = new LockstepValue<number>();
    using watcher = value.watch();
    const inner: Promise<void>[] = [];
    let joined!: Watcher<number>;
    const update = value.update(() => {
      inner.push(value.set(2));
      joined = value.watch();
      watcher.close();
      return 1;
    });
    expect(await log(joined, 2)).toEqual([1, 2]);
    expect(await update).toBe(1);
    await Promise.all(inner);
    joined.close();
    const ending = value.update(() => {
      value.close();
      return 3;
    });
    expect(await codeOf(ending)).toBe("EV_CLOSED");
    expect(value.current).toBe(2);
  });
});

describe("L3: close", () => {
  test("the value in delivery is still delivered, queued sets reject with EV_CLOSED", async () => {
    const value = new LockstepValue<number>();
    const [watcher, other] = [value.watch(), value.watch()];
    const inDelivery = observe(value.set(1));
    const change = vi.fn<() => number>(() => 3);
    const queued = [value.set(2), value.update(change)];
    expect(await watcher.get()).toBe(1);
    const waiting = watcher.get();
    value.close();
    value.close();
    expect(await Promise.all(queued.map(codeOf))).toEqual(["EV_CLOSED", "EV_CLOSED"]);
    expect(await codeOf(waiting)).toBe("EV_CLOSED");
    await turn();
    expect(inDelivery()).toEqual(pending);
    expect(await other.get()).toBe(1);
    await turn();
    expect(inDelivery()).toEqual(done);
    expect(await codeOf(other.get())).toBe("EV_CLOSED");
    expect(change).not.toHaveBeenCalled();
    expect([value.current, value.watcherCount]).toEqual([1, 0]);
  });

  test("leaves the set in delivery to be released by the watcher's close, or aborted", async () => {
    for (const abort of [true, false]) {
      const value = new LockstepValue<number>();
      const watcher = value.watch();
      const controller = new AbortController();
      const set = observe(value.set(1, { signal: controller.signal }));
      value.close();
      if (abort) controller.abort("enough");
      else watcher.close();
      await turn();
      expect(set()).toEqual(abort ? { state: "rejected", reason: "enough" } : done);
      watcher.close();
      expect(value.watcherCount).toBe(0);
    }
  });

  test("delivers the current value once to watchers that lack it while nothing is in delivery", async () => {
    const value = new LockstepValue({ initial: 1 });
    const watcher = value.watch();
    value.close();
    expect(await watcher.get()).toBe(1);
    expect(await codeOf(watcher.get())).toBe("EV_CLOSED");
  });

  test("afterwards set and update reject, and watch throws EV_CLOSED", async () => {
    const value = new LockstepValue({ initial: 1 });
    value.close();
    expect(await codeOf(value.set(2))).toBe("EV_CLOSED");
    expect(await codeOf(value.update((n) => n + 1))).toBe("EV_CLOSED");
    expect(() => value.watch()).toThrow(expect.objectContaining({ code: "EV_CLOSED" }));
    expect([value.current, value.isSet]).toEqual([1, true]);
  });
});

describe("LockstepValue", () => {
  test("refuses bad input at the call", () => {
    const value = new LockstepValue<unknown>();
    const { signal } = new AbortController();
    // oxlint-disable-next-line unicorn/no-thenable -- it is what is refused
    for (const thenable of [Promise.resolve(1), { then: () => {} }]) {
      expect(() => value.set(thenable)).toThrow(TypeError);
      expect(() => new LockstepValue<unknown>({ initial: thenable })).toThrow(TypeError);
    }
    const set = value.set.bind(value) as (to: unknown, options: unknown) => unknown;
    const update = value.update.bind(value) as (change: unknown, options?: unknown) => unknown;
    for (const options of [null, 1, signal, { signl: signal }, { signal: {} }, { signal: null }]) {
      expect(() => set(1, options)).toThrow(TypeError);
      expect(() => update(() => 1, options)).toThrow(TypeError);
    }
    for (const change of [undefined, 1, {}]) expect(() => update(change)).toThrow(TypeError);
    const Constructor = LockstepValue as unknown as new (options: unknown) => unknown;
    expect(() => new Constructor({ inital: 1 })).toThrow('new LockstepValue(): unknown option "inital"');
    expect(value.isSet).toBe(false);
  });

  test("current and isSet tell of the newest value whose turn has come", async () => {
    const value = new LockstepValue<number>();
    expect([value.current, value.isSet]).toEqual([undefined, false]);
    using watcher = value.watch();
    const sets = [value.set(1), value.set(2)];
    expect([value.current, value.isSet]).toEqual([1, true]);
    expect(await watcher.get()).toBe(1);
    expect(value.current).toBe(2);
    expect(await watcher.get()).toBe(2);
    await Promise.all(sets);
    expect(new LockstepValue({ initial: undefined }).isSet).toBe(true);
    expect(new LockstepValue({} as { initial: number }).isSet).toBe(false);
  });

  test("watcherCount counts open watchers", async () => {
    const value = new LockstepValue<number>();
    const controller = new AbortController();
    const [first, second] = [value.watch(), value.watch({ signal: controller.signal })];
    value.watch({ signal: AbortSignal.abort() });
    expect(value.watcherCount).toBe(2);
    first.close();
    first.close();
    controller.abort();
    second.close();
    expect(value.watcherCount).toBe(0);
  });

  test("takes as many turns as there are sets without growing the stack", async () => {
    const value = new LockstepValue<number>();
    const many = 50_000;
    const skipping = value.watch();
    const get = skipping.get({ filter: (n) => n === many });
    const unattended = value.watch();
    const sets = numbers(1, many).map((n) => value.set(n));
    expect(value.current).toBe(1);
    unattended.close();
    expect(await get).toBe(many);
    await Promise.all(sets);

    const last = value.watch();
    skipping.close();
    const again = numbers(1, many).map((n) => value.set(n));
    last.close();
    expect(value.current).toBe(many);
    await Promise.all(again);
  });
});
