import { getEventListeners } from "node:events";
import { describe, expect, test, vi } from "vitest";
import { MemoryValue } from "../../../src/index.ts";
import { PullWatcher } from "../../../src/internal/pull-watcher.ts";
import { codeOf, microtasks, observe, rejection, turn } from "../../support/promises.ts";

const closed: unknown = expect.objectContaining({ code: "EV_CLOSED" });
// oxlint-disable-next-line unicorn/no-thenable -- it is what is refused
const thenables = [Promise.resolve(1), { then: () => {} }, Object.assign(() => {}, { then: () => {} })];

describe("MemoryValue", () => {
  describe("without watching", () => {
    test("current is the newest value, and undefined while there is none", () => {
      const value = new MemoryValue<number>();
      expect([value.current, value.isSet]).toEqual([undefined, false]);
      value.set(1);
      expect([value.current, value.isSet]).toEqual([1, true]);
      value.set(2);
      expect(value.current).toBe(2);
    });

    test("an initial value counts when the property is present, also as undefined", async () => {
      expect(new MemoryValue({ initial: 0 }).isSet).toBe(true);
      expect(new MemoryValue({ initial: undefined }).isSet).toBe(true);
      expect(await new MemoryValue({ initial: undefined }).watch().get({ backlogOnly: true })).toBe(undefined);
      expect(new MemoryValue({} as { initial: number }).isSet).toBe(false);
      expect(new MemoryValue(undefined).isSet).toBe(false);
    });

    test("update sets what is made of the current value, and returns it", async () => {
      const value = new MemoryValue<number>();
      using watcher = value.watch();
      const waiting = watcher.get();
      expect(value.update((n) => (n ?? 10) + 1)).toBe(11);
      expect(value.update((n) => (n ?? 10) + 1)).toBe(12);
      expect(await waiting).toBe(11);
      expect(await watcher.get()).toBe(12);
    });

    test("update sets nothing where its function throws, and passes the exception on", async () => {
      const value = new MemoryValue({ initial: 1 });
      using watcher = value.watch();
      await watcher.get();
      const error = new Error("cannot");
      const update = (): number =>
        value.update(() => {
          throw error;
        });
      expect(update).toThrow(error);
      expect(value.current).toBe(1);
      expect(await codeOf(watcher.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
    });

    test("a set within update is overwritten by its result; watchers may see both", async () => {
      const value = new MemoryValue({ initial: 1 });
      using watcher = value.watch();
      await watcher.get();
      const waiting = watcher.get();
      value.update((n) => {
        value.set(n + 10);
        return n + 1;
      });
      expect(value.current).toBe(2);
      expect(await waiting).toBe(11);
      expect(await watcher.get()).toBe(2);
    });
  });

  describe("bad input is refused at the call", () => {
    test("a promise or other thenable is a TypeError, wherever a value is given, and sets nothing", () => {
      const value = new MemoryValue<unknown>();
      for (const thenable of thenables) {
        expect(() => value.set(thenable)).toThrow(TypeError);
        expect(() => value.update(() => thenable)).toThrow(TypeError);
        expect(() => new MemoryValue<unknown>({ initial: thenable })).toThrow(TypeError);
      }
      expect(value.isSet).toBe(false);
      // oxlint-disable-next-line unicorn/no-thenable -- only a function makes a thenable
      value.set({ then: "a word like any other" });
      expect(value.isSet).toBe(true);
    });

    test("unknown options, and options that are none, are a TypeError that names them", () => {
      const Constructor = MemoryValue as unknown as new (options: unknown) => unknown;
      expect(() => new Constructor({ inital: 1 })).toThrow(new TypeError('new MemoryValue(): unknown option "inital"'));
      for (const options of [null, 1, "initial", true]) expect(() => new Constructor(options)).toThrow(TypeError);
    });

    test("update takes a function", () => {
      const value = new MemoryValue<unknown>({ initial: 1 });
      for (const change of [undefined, null, 2, {}]) expect(() => value.update(change as never)).toThrow(TypeError);
      expect(value.current).toBe(1);
    });

    test("a get refused for its options leaves the pending one alone", async () => {
      const value = new MemoryValue<number>();
      using watcher = value.watch();
      const pending = watcher.get();
      expect(() => watcher.get({ timeoutMs: 1 } as never)).toThrow(TypeError);
      value.set(1);
      expect(await pending).toBe(1);
    });
  });

  describe("close", () => {
    test("set, update and watch throw EV_CLOSED; the newest value can still be read", () => {
      const value = new MemoryValue({ initial: 1 });
      value.close();
      value.close();
      expect(() => value.set(2)).toThrow(closed);
      expect(() => value.watch()).toThrow(closed);
      expect(() => value.watch({ signal: AbortSignal.abort() })).toThrow(closed);
      const change = vi.fn<() => number>(() => 2);
      expect(() => value.update(change)).toThrow(closed);
      expect(change).not.toHaveBeenCalled();
      expect([value.current, value.isSet]).toEqual([1, true]);
    });

    test("within update makes it throw EV_CLOSED, and sets nothing", () => {
      const value = new MemoryValue({ initial: 1 });
      const update = (): number =>
        value.update(() => {
          value.close();
          return 2;
        });
      expect(update).toThrow(closed);
      expect(value.current).toBe(1);
    });

    test("right after a set in the same tick still delivers that to who waits and to who does not", async () => {
      const value = new MemoryValue<number>();
      const [waiting, idle] = [value.watch(), value.watch()];
      const get = waiting.get();
      value.set(1);
      value.close();
      expect(await get).toBe(1);
      expect(await idle.get({ filter: (n) => n === 1 })).toBe(1);
      expect(await codeOf(waiting.get())).toBe("EV_CLOSED");
      expect(await codeOf(idle.get())).toBe("EV_CLOSED");
    });

    test("ends a get whose filter refuses the last value with EV_CLOSED", async () => {
      const value = new MemoryValue({ initial: 1 });
      const watcher = value.watch();
      value.close();
      expect(await codeOf(watcher.get({ filter: () => false }))).toBe("EV_CLOSED");
    });

    test("loses nothing to an abort: the last value is there for the next get", async () => {
      const value = new MemoryValue<number>();
      const watcher = value.watch();
      const controller = new AbortController();
      const get = watcher.get({ signal: controller.signal });
      controller.abort("enough");
      value.set(1);
      value.close();
      expect(await rejection(get)).toBe("enough");
      expect(await watcher.get()).toBe(1);
      expect(await codeOf(watcher.get())).toBe("EV_CLOSED");
    });
  });

  describe("watcherCount", () => {
    test("counts watchers from watch() to close, however they are closed, and each once", async () => {
      const value = new MemoryValue<number>();
      const counts: number[] = [];
      const count = (): void => void counts.push(value.watcherCount);
      count();
      const controller = new AbortController();
      const first = value.watch();
      const second = value.watch({ signal: controller.signal });
      value.watch({ signal: AbortSignal.abort() });
      count();
      first.close();
      first.close();
      count();
      void second.get();
      controller.abort();
      second.close();
      count();
      const iterator = value.watch()[Symbol.asyncIterator]();
      void iterator.next();
      count();
      await iterator.return!();
      await iterator.return!();
      count();
      expect(counts).toEqual([0, 2, 1, 0, 1, 0]);
    });

    test("counts a watcher whose value ended until it has been told", async () => {
      const value = new MemoryValue({ initial: 1 });
      const [waiting, lacking] = [value.watch(), value.watch()];
      await waiting.get();
      const get = waiting.get();
      value.close();
      expect(await codeOf(get)).toBe("EV_CLOSED");
      expect(value.watcherCount).toBe(1);
      await lacking.get();
      expect(await codeOf(lacking.get())).toBe("EV_CLOSED");
      lacking.close();
      expect(value.watcherCount).toBe(0);
    });
  });

  describe("C7: listeners of signals", () => {
    test("gets of ten thousand watchers on one signal take one listener, which goes in a later macrotask", async () => {
      const value = new MemoryValue<number>();
      const controller = new AbortController();
      const warned = vi.fn<() => void>();
      process.on("warning", warned);
      const watchers = Array.from({ length: 10_000 }, () => value.watch());
      const gets = watchers.map((watcher) => watcher.get({ signal: controller.signal }));
      expect(getEventListeners(controller.signal, "abort")).toHaveLength(1);
      value.set(1);
      await Promise.all(gets);
      await turn();
      expect(getEventListeners(controller.signal, "abort")).toHaveLength(0);
      controller.abort();
      expect(await codeOf(watchers[0]!.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
      process.off("warning", warned);
      expect(warned).not.toHaveBeenCalled();
    });

    test("a loop of gets on one signal adds the listener once", async () => {
      const value = new MemoryValue<number>();
      const { signal } = new AbortController();
      const add = vi.spyOn(signal, "addEventListener");
      using watcher = value.watch();
      for (let i = 0; i < 1000; i++) {
        const get = watcher.get({ signal });
        value.set(i);
        expect(await get).toBe(i);
      }
      expect(add).toHaveBeenCalledTimes(1);
      await turn();
      expect(getEventListeners(signal, "abort")).toHaveLength(0);
    });

    test("a get that need not wait, is refused or fails adds none", async () => {
      const value = new MemoryValue({ initial: 1 });
      const { signal } = new AbortController();
      const add = vi.spyOn(signal, "addEventListener");
      using watcher = value.watch();
      expect(await watcher.get({ signal })).toBe(1);
      await rejection(watcher.get({ signal, backlogOnly: true }));
      const pending = watcher.get();
      await rejection(watcher.get({ signal }));
      value.set(2);
      await pending;
      value.set(3);
      const filter = (): boolean => {
        throw new Error("cannot tell");
      };
      await rejection(watcher.get({ signal, filter }));
      watcher.close();
      await rejection(watcher.get({ signal }));
      expect(add).not.toHaveBeenCalled();
    });

    test("of watch() goes when the watcher is closed, also by the end of the value or of a loop", async () => {
      const value = new MemoryValue({ initial: 1 });
      const signals = Array.from({ length: 4 }, () => new AbortController().signal);
      const watchers = signals.map((signal) => value.watch({ signal }));
      expect(signals.map((signal) => getEventListeners(signal, "abort").length)).toEqual([1, 1, 1, 1]);
      watchers[0]!.close();
      for await (const _ of watchers[1]!) break;
      await watchers[2]!.get();
      const ending = watchers[2]!.get();
      value.close();
      await rejection(ending);
      await turn();
      expect(signals.map((signal) => getEventListeners(signal, "abort").length)).toEqual([0, 0, 0, 1]);
    });
  });

  describe("C10: the cost of a set", () => {
    test("is in proportion to the watchers that wait, not to those that exist", async () => {
      const woken = vi.spyOn(PullWatcher.prototype, "wake");
      const value = new MemoryValue<number>();
      const idle = Array.from({ length: 10_000 }, () => value.watch());
      const had = Array.from({ length: 100 }, () => value.watch());
      value.set(0);
      for (const watcher of had) await watcher.get();
      expect(woken).toHaveBeenCalledTimes(0);
      const waiting = idle.slice(0, 3).map((watcher) => watcher.get({ filter: (n) => n > 0 }));
      value.set(1);
      expect(woken).toHaveBeenCalledTimes(3);
      expect(await Promise.all(waiting)).toEqual([1, 1, 1]);
      for (let i = 2; i < 1000; i++) value.set(i);
      expect(woken).toHaveBeenCalledTimes(3);
      expect(await idle[9_999]!.get()).toBe(999);
      woken.mockRestore();
    });

    test("does not count watchers whose get was aborted or that were closed while they waited", async () => {
      const woken = vi.spyOn(PullWatcher.prototype, "wake");
      const value = new MemoryValue<number>();
      const controller = new AbortController();
      const watchers = Array.from({ length: 10 }, () => value.watch());
      const gets = watchers.map((watcher) => rejection(watcher.get({ signal: controller.signal })));
      for (const watcher of watchers.slice(5)) watcher.close();
      controller.abort();
      await Promise.all(gets);
      woken.mockClear();
      value.set(1);
      expect(woken).not.toHaveBeenCalled();
      woken.mockRestore();
    });
  });

  describe("iterators", () => {
    test("of one watcher share its position", async () => {
      const value = new MemoryValue({ initial: 1 });
      using watcher = value.watch();
      const [one, other] = [watcher[Symbol.asyncIterator](), watcher[Symbol.asyncIterator]()];
      expect(await one.next()).toEqual({ done: false, value: 1 });
      const next = other.next();
      value.set(2);
      expect(await next).toEqual({ done: false, value: 2 });
      expect(await codeOf(watcher.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
    });

    test("can be iterated themselves", async () => {
      const value = new MemoryValue({ initial: 1 });
      const iterator = value.watch()[Symbol.asyncIterator]() as AsyncIterableIterator<number>;
      for await (const n of iterator) {
        expect(n).toBe(1);
        break;
      }
      expect(value.watcherCount).toBe(0);
    });

    test("end a next() that was pending when the value ended", async () => {
      const value = new MemoryValue<number>();
      const next = value.watch()[Symbol.asyncIterator]().next();
      value.close();
      expect(await next).toEqual({ done: true, value: undefined });
      expect(value.watcherCount).toBe(0);
    });

    test("a get after a next() gives the value, not an iterator's result, and the other way round", async () => {
      const value = new MemoryValue<number>();
      using watcher = value.watch();
      const iterator = watcher[Symbol.asyncIterator]();
      const next = iterator.next();
      value.set(1);
      expect(await next).toEqual({ done: false, value: 1 });
      const get = watcher.get();
      value.set(2);
      expect(await get).toBe(2);
      const again = iterator.next();
      value.set(3);
      expect(await again).toEqual({ done: false, value: 3 });
    });
  });

  describe("settling", () => {
    test("a waiting get is settled by the set itself: what is done next in that tick cannot take it back", async () => {
      const value = new MemoryValue<number>();
      const watcher = value.watch();
      const get = observe(watcher.get());
      value.set(1);
      watcher.close();
      value.close();
      await microtasks(1);
      expect(get()).toEqual({ state: "fulfilled", value: 1 });
    });

    test("the options of one get do not stick to the next", async () => {
      const value = new MemoryValue<number>();
      using watcher = value.watch();
      const controller = new AbortController();
      const first = watcher.get({ filter: (n) => n > 1, signal: controller.signal });
      value.set(1);
      value.set(2);
      expect(await first).toBe(2);
      const second = watcher.get();
      controller.abort();
      value.set(1);
      expect(await second).toBe(1);
      expect(await codeOf(watcher.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
      const third = watcher.get();
      value.set(3);
      expect(await third).toBe(3);
    });
  });
});
