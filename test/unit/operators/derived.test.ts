import { describe, expect, test, vi } from "vitest";
import { distinctUntilChanged, filter, LockstepValue, map, MemoryValue, type Watchable } from "../../../src/index.ts";
import { codeOf, rejection } from "../../support/promises.ts";

/** What the next gets of `watchable`'s watcher give while `values` are set one after the other. */
async function delivered<T, U>(source: MemoryValue<T>, watchable: Watchable<U>, values: readonly T[]): Promise<U[]> {
  using watcher = watchable.watch();
  const seen: U[] = [];
  for (const value of values) {
    source.set(value);
    try {
      seen.push(await watcher.get({ backlogOnly: true }));
    } catch {
      // Nothing came of this one.
    }
  }
  return seen;
}

const failing = (): never => {
  throw new Error("cannot");
};

describe("map", () => {
  test("changes the values that are delivered, each once, and no others", async () => {
    const source = new MemoryValue({ initial: 1 });
    const change = vi.fn<(n: number) => string>((n) => `n${n}`);
    const mapped = map(source, change);
    source.set(2);
    using watcher = mapped.watch();
    source.set(3);
    expect(change).not.toHaveBeenCalled();
    expect(await watcher.get()).toBe("n3");
    const waiting = watcher.get();
    source.set(4);
    source.set(5);
    source.set(6);
    expect(await waiting).toBe("n4");
    expect(await watcher.get()).toBe("n6");
    expect(change.mock.calls).toEqual([[3], [4], [6]]);
  });

  test("changes nothing for a get that is aborted or not begun", async () => {
    const source = new MemoryValue<number>();
    const change = vi.fn<(n: number) => number>((n) => n);
    using watcher = map(source, change).watch();
    const controller = new AbortController();
    const get = watcher.get({ signal: controller.signal });
    controller.abort("enough");
    source.set(1);
    expect(await rejection(get)).toBe("enough");
    expect(await rejection(watcher.get({ signal: controller.signal }))).toBe("enough");
    expect(change).not.toHaveBeenCalled();
    expect(await watcher.get()).toBe(1);
  });

  test("that throws rejects the get that met the value, and the next get goes on", async () => {
    const source = new MemoryValue({ initial: 1 });
    using watcher = map(source, (n) => (n === 1 ? failing() : n * 2)).watch();
    expect(await rejection(watcher.get())).toEqual(new Error("cannot"));
    expect(await codeOf(watcher.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
    source.set(2);
    expect(await watcher.get()).toBe(4);
  });

  test("that gives a promise rejects that get with a TypeError", async () => {
    const source = new MemoryValue({ initial: 1 });
    using watcher = map(source, (n) => (n === 1 ? Promise.resolve(n) : n)).watch();
    expect(await rejection(watcher.get())).toBeInstanceOf(TypeError);
    source.set(2);
    expect(await watcher.get()).toBe(2);
  });

  test("gives undefined as a value", async () => {
    const source = new MemoryValue({ initial: 1 });
    using watcher = map(source, () => undefined).watch();
    expect(await watcher.get({ backlogOnly: true })).toBe(undefined);
    expect(await codeOf(watcher.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
  });

  test("asks the filter of a get about what it made of the value", async () => {
    const source = new MemoryValue<number>();
    using watcher = map(source, (n) => `n${n}`).watch();
    const get = watcher.get({ filter: (value): value is "n2" => value === "n2" });
    source.set(1);
    source.set(2);
    expect(await get).toBe("n2");
  });
});

describe("filter", () => {
  test("passes the values it accepts; the others are skipped as if overwritten", async () => {
    const source = new MemoryValue<number>();
    const even = filter(source, (n) => n % 2 === 0);
    expect(await delivered(source, even, [1, 2, 3, 4, 6, 5])).toEqual([2, 4, 6]);
  });

  test("may lose a value it accepts to a newer one that it does not", async () => {
    const source = new MemoryValue<number>();
    using watcher = filter(source, (n) => n % 2 === 0).watch();
    source.set(2);
    source.set(3);
    expect(await codeOf(watcher.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
    const waiting = watcher.get();
    source.set(5);
    source.set(4);
    expect(await waiting).toBe(4);
  });

  test("asks about a value once for each watcher that gets, together with the filter of that get", async () => {
    const source = new MemoryValue<number>();
    const accept = vi.fn<(n: number) => boolean>((n) => n > 1);
    const filtered = filter(source, accept);
    using watcher = filtered.watch();
    using idle = filtered.watch();
    const get = watcher.get({ filter: (n) => n > 2 });
    for (const n of [1, 2, 3]) source.set(n);
    expect(await get).toBe(3);
    expect(accept.mock.calls).toEqual([[1], [2], [3]]);
    expect(await idle.get()).toBe(3);
    expect(accept).toHaveBeenCalledTimes(4);
  });

  test("that throws rejects the get that met the value, and the next get goes on", async () => {
    const source = new MemoryValue({ initial: 1 });
    using watcher = filter(source, (n) => n !== 1 || failing()).watch();
    expect(await rejection(watcher.get())).toEqual(new Error("cannot"));
    source.set(2);
    expect(await watcher.get()).toBe(2);
  });

  test("ends with EV_CLOSED where the source ends with a value it does not accept", async () => {
    const source = new MemoryValue({ initial: 1 });
    const watcher = filter(source, () => false).watch();
    const get = watcher.get();
    source.close();
    expect(await codeOf(get)).toBe("EV_CLOSED");
  });
});

describe("distinctUntilChanged", () => {
  test("drops a value that equals the one before it, by Object.is", async () => {
    const source = new MemoryValue<unknown>();
    const object = {};
    const values = [undefined, undefined, Number.NaN, Number.NaN, 0, -0, -0, object, object, {}, null, undefined];
    const distinct = await delivered(source, distinctUntilChanged(source), values);
    expect(distinct).toHaveLength(8);
    expect(distinct.map((value, i) => Object.is(value, [undefined, Number.NaN, 0, -0, object][i])).slice(0, 5)).toEqual(
      Array.from({ length: 5 }, () => true),
    );
    expect(distinct.slice(5)).toEqual([{}, null, undefined]);
  });

  test("drops by the equality it is given, which is asked about the last one that passed and the new one", async () => {
    const source = new MemoryValue<string>();
    const equals = vi.fn<(a: string, b: string) => boolean>((a, b) => a.toLowerCase() === b.toLowerCase());
    expect(await delivered(source, distinctUntilChanged(source, equals), ["a", "A", "b", "B", "a"])).toEqual([
      "a",
      "b",
      "a",
    ]);
    expect(equals.mock.calls).toEqual([
      ["a", "A"],
      ["a", "b"],
      ["b", "B"],
      ["b", "a"],
    ]);
  });

  test("compares with what went through, not with what was overwritten", async () => {
    const source = new MemoryValue({ initial: 1 });
    using watcher = distinctUntilChanged(source).watch();
    expect(await watcher.get()).toBe(1);
    source.set(2);
    source.set(1);
    expect(await codeOf(watcher.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
    const waiting = watcher.get();
    source.set(1);
    source.set(3);
    expect(await waiting).toBe(3);
  });

  test("remembers for each watcher by itself", async () => {
    const source = new MemoryValue({ initial: 1 });
    const distinct = distinctUntilChanged(source);
    using first = distinct.watch();
    expect(await first.get()).toBe(1);
    using second = distinct.watch();
    expect(await second.get()).toBe(1);
    source.set(1);
    expect(await codeOf(first.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
  });

  test("does not remember a value that an aborted get did not take", async () => {
    const source = new MemoryValue<number>();
    using watcher = distinctUntilChanged(source).watch();
    const controller = new AbortController();
    const get = watcher.get({ signal: controller.signal });
    controller.abort("enough");
    source.set(1);
    expect(await rejection(get)).toBe("enough");
    expect(await watcher.get({ backlogOnly: true })).toBe(1);
  });

  test("whose equality throws rejects that get, and compares the next with the same one as before", async () => {
    const source = new MemoryValue({ initial: 1 });
    using watcher = distinctUntilChanged(source, (a, b) => (b === 2 ? failing() : a === b)).watch();
    expect(await watcher.get()).toBe(1);
    source.set(2);
    expect(await rejection(watcher.get())).toEqual(new Error("cannot"));
    source.set(1);
    expect(await codeOf(watcher.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
  });
});

describe("operators", () => {
  const operators: Record<string, (source: Watchable<number>) => Watchable<number>> = {
    map: (source) => map(source, (n) => n),
    filter: (source) => filter(source, () => true),
    distinctUntilChanged: (source) => distinctUntilChanged(source, () => false),
  };

  test.each(Object.entries(operators))("%s watches its source only while it is watched", async (_, operate) => {
    const source = new MemoryValue({ initial: 1 });
    const derived = operate(source);
    const counts = [source.watcherCount];
    const watcher = derived.watch();
    const other = derived.watch();
    counts.push(source.watcherCount);
    watcher.close();
    counts.push(source.watcherCount);
    for await (const n of other) if (n === 1) break;
    counts.push(source.watcherCount);
    const controller = new AbortController();
    derived.watch({ signal: controller.signal });
    counts.push(source.watcherCount);
    controller.abort();
    counts.push(source.watcherCount);
    expect(counts).toEqual([0, 2, 1, 0, 1, 0]);
  });

  test.each(Object.entries(operators))(
    "%s of a LockstepValue holds up its sets as a watcher does",
    async (_, operate) => {
      const source = new LockstepValue<number>();
      using watcher = operate(source).watch();
      const sets = [source.set(1), source.set(2)];
      expect([await watcher.get(), await watcher.get()]).toEqual([1, 2]);
      await Promise.all(sets);
    },
  );

  test("take any watchable", async () => {
    const source = new MemoryValue({ initial: 1 });
    const own: Watchable<number> = { watch: (options) => source.watch(options) };
    using watcher = map(own, (n) => n + 1).watch();
    expect(await watcher.get()).toBe(2);
  });

  test("refuse anything else with a TypeError at the call", () => {
    const source = new MemoryValue({ initial: 1 });
    for (const wrong of [undefined, null, 1, {}, { watch: 1 }, () => {}]) {
      expect(() => map(wrong as never, (n) => n)).toThrow(TypeError);
      expect(() => filter(wrong as never, () => true)).toThrow(TypeError);
      expect(() => distinctUntilChanged(wrong as never)).toThrow(TypeError);
    }
    for (const wrong of [null, 1, {}, "even"]) {
      expect(() => map(source, wrong as never)).toThrow(TypeError);
      expect(() => filter(source, wrong as never)).toThrow(TypeError);
      expect(() => distinctUntilChanged(source, wrong as never)).toThrow(TypeError);
    }
    expect(() => map(source, undefined as never)).toThrow(TypeError);
    expect(() => filter(source, undefined as never)).toThrow(TypeError);
  });

  test("refuse the options of a watch before they open a watcher", () => {
    const source = new MemoryValue({ initial: 1 });
    const indifferent: Watchable<number> = { watch: () => source.watch() };
    for (const watchable of [source, indifferent]) {
      const watch = (): unknown => map(watchable, (n) => n).watch({ sgnal: 1 } as never);
      expect(watch).toThrow('unknown option "sgnal"');
    }
    expect(source.watcherCount).toBe(0);
  });
});
