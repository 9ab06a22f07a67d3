import { describe, expect, test, vi } from "vitest";
import { errorOf, type EventValueErrorOf } from "../../../src/errors.ts";
import {
  bytes,
  json,
  LockstepValue,
  map,
  MemoryKeyspace,
  MemoryValue,
  pipeTo,
  skipInvalid,
  waitFor,
  type Watchable,
} from "../../../src/index.ts";
import { allCapabilities, describeWatchable, type MakeSubject } from "../../conformance/watchable.ts";
import { codeOf, microtasks, observe, rejection, turn } from "../../support/promises.ts";

/** What a source holds that its decoder rejects. */
const nonsense: unique symbol = Symbol("nonsense");

const invalid = errorOf("EV_DECODE", "no value", { key: "a", bytes: new Uint8Array(), revision: 1 });

/** As keys do with bytes that their decoder rejects. */
function decoding<T>(source: Watchable<T | typeof nonsense>): Watchable<T> {
  return map(source, (value) => {
    if (value === nonsense) throw invalid;
    return value;
  });
}

/** Makes subjects; with `spoilt`, each value comes right after one that is skipped. */
function subjects(spoilt: boolean): MakeSubject {
  return (options) => {
    const source = new MemoryValue<unknown>(options);
    return {
      watchable: skipInvalid(decoding(source)),
      async set(to) {
        if (spoilt) source.set(nonsense);
        source.set(to);
      },
      end: async () => source.close(),
      watcherCount: () => source.watcherCount,
    };
  };
}

describeWatchable("skipInvalid", subjects(false), allCapabilities);

describeWatchable("skipInvalid with a value to skip before each", subjects(true), {
  ...allCapabilities,
  setsAtOnce: false,
  firstWins: false,
});

describe("skipInvalid", () => {
  test("reports each value that the decoder rejects, and goes on with the next", async () => {
    const keyspace = new MemoryKeyspace();
    const limit = keyspace.value("limit", json<number>());
    const raw = keyspace.value("limit", bytes);
    const reports: EventValueErrorOf<"EV_DECODE">[] = [];
    using watcher = skipInvalid(limit, (error) => reports.push(error)).watch();
    const { revision } = await raw.set(new Uint8Array([123]));
    const get = watcher.get();
    await vi.waitFor(() => expect(reports).toMatchObject([{ key: "limit", bytes: new Uint8Array([123]), revision }]));
    await limit.set(1);
    expect(await get).toBe(1);
    await limit.delete();
    expect(await watcher.get()).toBe(undefined);
    await raw.set(new Uint8Array([125]));
    expect(await codeOf(watcher.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
    expect(reports).toHaveLength(2);
    await keyspace.close();
    expect(await codeOf(watcher.get())).toBe("EV_CLOSED");
  });

  test("lets a pipe go on that would have ended, also without a report", async () => {
    const source = new LockstepValue<number | typeof nonsense>();
    const seen: number[] = [];
    const piping = pipeTo(skipInvalid(decoding(source)), (value) => seen.push(value));
    for (const value of [nonsense, 1, nonsense, nonsense, 2] as const) await source.set(value);
    source.close();
    await piping;
    expect(seen).toEqual([1, 2]);
    expect(await codeOf(waitFor(decoding(new MemoryValue({ initial: nonsense })), () => true))).toBe("EV_DECODE");
  });

  test("passes all other errors, and goes on after them", async () => {
    const source = new MemoryValue({ initial: 1 });
    const report = vi.fn<() => void>();
    const failing = map(source, (n) => {
      if (n === 1) throw errorOf("EV_PERMISSION_DENIED", "no", {});
      return n;
    });
    using watcher = skipInvalid(failing, report).watch();
    expect(await codeOf(watcher.get())).toBe("EV_PERMISSION_DENIED");
    source.set(2);
    expect(await watcher.get()).toBe(2);
    expect(report).not.toHaveBeenCalled();
  });

  test("passes what the filter of a get throws, also an EV_DECODE", async () => {
    const source = new MemoryValue({ initial: 1 });
    const report = vi.fn<() => void>();
    using watcher = skipInvalid(source, report).watch();
    const filter = (): boolean => {
      throw invalid;
    };
    expect(await rejection(watcher.get({ filter }))).toBe(invalid);
    expect(report).not.toHaveBeenCalled();
    source.set(2);
    expect(await watcher.get()).toBe(2);
  });

  test("rejects the get whose report throws, and the next one goes on", async () => {
    const source = new MemoryValue<number | typeof nonsense>({ initial: nonsense });
    using watcher = skipInvalid(decoding(source), () => {
      throw new Error("cannot tell");
    }).watch();
    expect(await rejection(watcher.get())).toEqual(new Error("cannot tell"));
    source.set(2);
    expect(await watcher.get()).toBe(2);
  });

  test("has one get at a time, also while it skips", async () => {
    const source = new MemoryValue<number | typeof nonsense>();
    const watcher = skipInvalid(decoding(source)).watch();
    const get = observe(watcher.get());
    source.set(nonsense);
    for (let i = 0; i < 20; i++) {
      expect(await codeOf(watcher.get())).toBe("EV_CONCURRENT_GET");
      await microtasks(1);
    }
    source.set(1);
    await turn();
    expect(get()).toEqual({ state: "fulfilled", value: 1 });
    watcher.close();
    expect(source.watcherCount).toBe(0);
  });

  test("counts nothing as delivered to a get that is aborted while it skips, and reports what was skipped", async () => {
    const source = new MemoryValue<number | typeof nonsense>();
    const report = vi.fn<() => void>();
    using watcher = skipInvalid(decoding(source), report).watch();
    const enough = new AbortController();
    const get = watcher.get({ signal: enough.signal });
    source.set(nonsense);
    source.set(1);
    enough.abort("enough");
    const next = watcher.get();
    expect(await rejection(get)).toBe("enough");
    expect(await next).toBe(1);
    expect(report).toHaveBeenCalledOnce();
  });

  test("forgets a get that is aborted while it skips: the next one is the one that is pending", async () => {
    const source = new MemoryValue<number | typeof nonsense>();
    const watcher = skipInvalid(decoding(source)).watch();
    const enough = new AbortController();
    const get = watcher.get({ signal: enough.signal });
    source.set(nonsense);
    enough.abort("enough");
    const next = observe(watcher.get());
    expect(await rejection(get)).toBe("enough");
    source.set(nonsense);
    for (let i = 0; i < 20; i++) {
      expect(await codeOf(watcher.get())).toBe("EV_CONCURRENT_GET");
      await microtasks(1);
    }
    source.set(1);
    await turn();
    expect(next()).toEqual({ state: "fulfilled", value: 1 });
    void watcher.get();
    watcher.close();
    expect(await codeOf(watcher.get())).toBe("EV_CLOSED");
  });

  test("may be closed by its report", async () => {
    const source = new MemoryValue<number | typeof nonsense>({ initial: nonsense });
    const watcher = skipInvalid(decoding(source), () => watcher.close()).watch();
    const seen: number[] = [];
    for await (const value of watcher) seen.push(value);
    expect([seen, source.watcherCount]).toEqual([[], 0]);
  });

  test("refuses what is no watchable and no function at the call", () => {
    expect(() => skipInvalid(1 as never)).toThrow(TypeError);
    expect(() => skipInvalid(new MemoryValue(), 1 as never)).toThrow(TypeError);
  });
});
