/** Live maps, where the store's answers come in the midst of something. */
import { setImmediate as macrotask } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test, vi } from "vitest";
import { isEventValueError, type LiveMap, text } from "../../../src/index.ts";
import { TransportError } from "../../../src/etcd/transport.ts";
import { LiveMaps } from "../../../src/keyspace/live-map.ts";
import { answerOf, type AskedWatch, eventOf, headerOf, lose, refusalOf, ScriptedStore } from "./scripted-store.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** So many that a merge takes several steps. */
const many = 30_000;

/** A range of that many keys, all written at `revision`. */
function keysAt(revision: number, count: number = many): Record<string, number> {
  return Object.fromEntries(
    Array.from({ length: count }, (_, i) => [`key${String(i).padStart(6, "0")}`, revision] as const),
  );
}

function mapsOf(store: ScriptedStore): LiveMaps<string> {
  const read = (): never => {
    throw new Error("nobody reads");
  };
  return new LiveMaps({ enter: () => store.feed.entered(), read }, text.decode);
}

/** A live map of `keys`, with a watch that is up. */
async function mapOf(
  keys: Record<string, number>,
  header: { revision: number; raftTerm?: number },
): Promise<{ store: ScriptedStore; map: LiveMap<string>; watch: AskedWatch }> {
  const store = new ScriptedStore();
  const opening = mapsOf(store).open(undefined);
  // The map asks for no other read than the list.
  await store.give(answerOf(header, keys));
  const map = await opening;
  expect(store.asked).toBe(0);
  const watch = await store.watchOf(0);
  watch.handlers.created(headerOf(header));
  return { store, map, watch };
}

/** The revisions that the values of a map tell of, each once. */
function revisionsIn(map: LiveMap<string>): string {
  return [...new Set([...map.values()].map((value) => value.split(" at ")[1]))].join();
}

describe("a live map is always a state of the store", () => {
  test("also while the difference of a resync is merged, which others are given in steps", async () => {
    const { store, map, watch } = await mapOf(keysAt(10), { revision: 10 });
    expect(revisionsIn(map)).toBe("10");
    lose(watch);
    await store.give(refusalOf("compacted"));
    const listing = store.give(answerOf({ revision: 20 }, keysAt(20)));
    const seen = new Set<string>();
    while (map.revision < 20) {
      seen.add(`${revisionsIn(map)} of ${map.size} at ${map.revision}`);
      await macrotask();
    }
    await listing;
    seen.add(`${revisionsIn(map)} of ${map.size} at ${map.revision}`);
    expect([...seen]).toEqual([`10 of ${many} at 10`, `20 of ${many} at 20`]);
    map.close();
  });

  test("and steps are taken again when the last map is closed", async () => {
    const { store, map, watch } = await mapOf(keysAt(10), { revision: 10 });
    const watcher = store.watch();
    map.close();
    lose(watch);
    await store.give(refusalOf("compacted"));
    void store.give(answerOf({ revision: 20 }, keysAt(20)));
    await vi.waitFor(() => expect(store.feed.log.merging).toBe(true), { interval: 0 });
    watcher.close();
  });

  test("is opened in the midst of a merge, when that has come to its end", async () => {
    const store = new ScriptedStore();
    const watcher = store.watch();
    void watcher.getBatch().catch(() => {});
    await store.give(answerOf({ revision: 10 }, keysAt(10)));
    const watch = await store.watchOf(0);
    lose(watch);
    await store.give(refusalOf("compacted"));
    void store.give(answerOf({ revision: 20 }, keysAt(20)));
    await vi.waitFor(() => expect(store.feed.log.merging).toBe(true), { interval: 0 });
    const opening = mapsOf(store).open(undefined);
    await vi.waitFor(() => expect(store.feed.log.merging).toBe(false), { interval: 0 });
    while (store.asked > 0) await store.give(answerOf({ revision: 20 }, {}, many));
    const map = await opening;
    expect(`${revisionsIn(map)} of ${map.size}`).toBe(`20 of ${many}`);
    map.close();
    watcher.close();
  });
});

describe("a live map", () => {
  test("follows again by itself when what the store refused is permitted, and says meanwhile that it is stale", async () => {
    const { store, map, watch } = await mapOf({ a: 10 }, { revision: 10 });
    lose(watch);
    await store.give(new TransportError("model", 7, "etcdserver: permission denied", true));
    expect(store.following.at(-1)).toBe(false);
    await store.give(answerOf({ revision: 12 }, {}));
    const next = await store.watchOf(1);
    next.handlers.created(headerOf({ revision: 12 }));
    next.handlers.events([eventOf("put", "b", 12)]);
    expect([...map.keys()]).toEqual(["a", "b"]);
    expect(store.following.at(-1)).toBe(true);
    map.close();
  });

  test("leaves nothing of watchers and waits behind when it is closed", async () => {
    const { store, map } = await mapOf({ a: 10 }, { revision: 10 });
    const reaching = [map.atLeast(99), map.atLeast(100, { signal: new AbortController().signal })];
    await macrotask();
    expect(store.left).toBe(false);
    map.close();
    for (const reached of reaching) await expect(reached).rejects.toMatchObject({ code: "EV_CLOSED" });
    expect(store.left, "the feed has no watchers any more").toBe(true);
  });

  test("keeps no watcher that was opened with a signal that is aborted", async () => {
    const { map } = await mapOf({ a: 10 }, { revision: 10 });
    const refs = Array.from({ length: 100 }, () => new WeakRef(map.watch({ signal: AbortSignal.abort() })));
    for (let i = 0; i < 5; i++) {
      await macrotask();
      collectGarbage();
    }
    expect(refs.filter((ref) => ref.deref() !== undefined).length).toBeLessThan(10);
    map.close();
  });
});

describe("atLeast", () => {
  /** What it rejects with, as text. */
  const refused = async (reaching: Promise<unknown>): Promise<string> => {
    const error = await reaching.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    return isEventValueError(error, "EV_UNAVAILABLE") ? error.message : String(error);
  };

  test("asks the store where the range has not come to the revision, which may be of other keys", async () => {
    const { store, map } = await mapOf({ a: 10 }, { revision: 10 });
    const reaching = map.atLeast(15);
    expect(await store.give(answerOf({ revision: 17 }, {}, 1))).toMatchObject({ minModRevision: 11 });
    expect(await reaching).toBe(map);
    expect(map.revision).toBe(17);
    expect(await map.atLeast(16)).toBe(map);
    expect(store.asked).toBe(0);
    map.close();
  });

  test("asks nothing where the watch brings the revision in time", async () => {
    const { store, map, watch } = await mapOf({ a: 10 }, { revision: 10 });
    const reaching = map.atLeast(12);
    watch.handlers.events([eventOf("put", "b", 12)]);
    await reaching;
    expect(store.asked).toBe(0);
    expect(map.get("b")).toBe("b at 12");
    map.close();
  });

  test("waits for the watch where the store knows more of the range", async () => {
    const { store, map, watch } = await mapOf({ a: 10 }, { revision: 10 });
    const reaching = map.atLeast(12);
    await store.give(answerOf({ revision: 12 }, { b: 12 }, 2));
    expect(map.get("b")).toBeUndefined();
    watch.handlers.events([eventOf("put", "b", 12)]);
    await reaching;
    expect(map.get("b")).toBe("b at 12");
    map.close();
  });

  test("rejects where the store begins again meanwhile, and for what it never comes to afterwards", async () => {
    const { store, map, watch } = await mapOf({ a: 10 }, { revision: 10, raftTerm: 5 });
    const reaching = refused(map.atLeast(30));
    // A read that is never answered, as the store goes down.
    lose(watch);
    const restored = { revision: 8, raftTerm: 2 };
    for (let i = 0; i < 8 && map.revision !== 8; i++) await store.give(answerOf(restored, { a: 7 }));
    while (store.asked > 0) await store.give(answerOf(restored, {}, 1));
    expect(await reaching).toContain("revision 30 is not to be had: the store was restored and is at 8");
    expect(map.get("a")).toBe("a at 7");

    const later = refused(map.atLeast(9));
    await store.give(answerOf(restored, {}, 1));
    expect(await later).toContain("revision 9 is not to be had");
    const now = map.atLeast(8);
    expect(await now).toBe(map);
    map.close();
  });
});
