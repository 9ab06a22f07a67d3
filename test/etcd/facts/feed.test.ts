/** What a feed makes of the store's answers, where the store's own words would lead it astray. */
import { setImmediate as macrotask } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import type { ResponseHeader } from "../../../src/etcd/proto/generated/etcd.ts";
import { TransportError } from "../../../src/etcd/transport.ts";
import type { Batch, RangeWatcher } from "../../../src/keyspace.ts";
import { codeOf } from "../../support/promises.ts";
import { raw } from "../store.ts";
import { answerOf, type AskedWatch, eventOf, headerOf, lose, refusalOf, ScriptedStore } from "./scripted-store.ts";

const backlog = { backlogOnly: true };

/** What a batch changes, as text. */
function told({ changes }: Batch<string>): string[] {
  return changes.map((change) => (change.type === "put" ? change.value : `${change.key} gone`));
}

/** A feed whose log holds `keys` at `header`, with a watch that is up and a watcher that has read it all. */
async function following(
  header: Partial<ResponseHeader> & { readonly revision: number },
  keys: Readonly<Record<string, number>>,
  store: ScriptedStore = new ScriptedStore(),
): Promise<{ store: ScriptedStore; watcher: RangeWatcher<string>; watch: AskedWatch }> {
  const watcher = store.watch();
  const first = watcher.getBatch();
  await store.give(answerOf(header, keys));
  await first;
  const watch = await store.watchOf(0);
  watch.handlers.created(headerOf(header));
  return { store, watcher, watch };
}

describe("resuming a watch", () => {
  test("begins at the revision of the last event, and not at one that a later response tells", async () => {
    const { store, watcher, watch } = await following({ revision: 10 }, { a: 10 });
    watch.handlers.events([eventOf("put", "b", 12)]);
    await watcher.getBatch();
    lose(watch);
    expect(await store.give(answerOf({ revision: 500 }, {}))).toMatchObject({ revision: 12, keysOnly: true });
    expect((await store.watchOf(1)).startRevision).toBe(12);
    watcher.close();
  });

  test("begins at the revision of the last progress notification", async () => {
    const { store, watcher, watch } = await following({ revision: 10 }, { a: 10 });
    watch.handlers.progress(300);
    lose(watch);
    expect(await store.give(answerOf({ revision: 500 }, {}))).toMatchObject({ revision: 300 });
    expect((await store.watchOf(1)).startRevision).toBe(300);
    watcher.close();
  });

  test("never goes back for a progress notification from before what is known", async () => {
    const { store, watcher, watch } = await following({ revision: 10 }, { a: 10 });
    watch.handlers.events([eventOf("put", "b", 12)]);
    watch.handlers.progress(9);
    expect((await watcher.getBatch()).revision).toBe(12);
    lose(watch);
    expect(await store.give(answerOf({ revision: 12 }, {}))).toMatchObject({ revision: 12 });
    expect((await store.watchOf(1)).startRevision).toBe(12);
    watcher.close();
  });

  test("drops events that are not newer than what is known, as a member that lags sends them", async () => {
    const { store, watcher, watch } = await following({ revision: 10 }, { a: 10 });
    watch.handlers.events([eventOf("put", "b", 11), eventOf("delete", "a", 12)]);
    expect(told(await watcher.getBatch())).toEqual(["b at 11", "a gone"]);
    lose(watch);
    await store.give(answerOf({ revision: 12 }, {}));
    const next = await store.watchOf(1);
    next.handlers.created(headerOf({ revision: 10 }));
    next.handlers.events([eventOf("put", "a", 10)]);
    next.handlers.events([eventOf("put", "b", 11)]);
    expect(await codeOf(watcher.getBatch(backlog))).toBe("EV_BACKLOG_DONE");
    next.handlers.events([eventOf("delete", "a", 12), eventOf("put", "c", 13)]);
    expect(told(await watcher.getBatch(backlog))).toEqual(["c at 13"]);
    watcher.close();
  });

  test("is a watch up to 10,000 revisions behind, or as many as there are keys; beyond that a listing", async () => {
    const many = Object.fromEntries(Array.from({ length: 12_000 }, (_, i) => [`key-${i}`, 10]));
    for (const [keys, behind] of [
      [{ a: 10 }, 10_000],
      [many, 12_000],
    ] as const) {
      for (const far of [false, true]) {
        const { store, watcher, watch } = await following({ revision: 10 }, keys);
        lose(watch);
        const revision = 10 + behind + Number(far);
        expect(await store.give(answerOf({ revision }, {}))).toMatchObject({ revision: 10, keysOnly: true });
        if (far) {
          const next = watcher.getBatch();
          const { minModRevision } = await store.give(answerOf({ revision }, { z: revision }));
          expect(minModRevision).toBe(11);
          await store.give(answerOf({ revision }, { ...keys, z: revision }));
          expect(told(await next)).toEqual([`z at ${revision}`]);
          expect((await store.watchOf(1)).startRevision).toBe(revision);
        } else expect((await store.watchOf(1)).startRevision).toBe(10);
        watcher.close();
      }
    }
  });

  test("is a watch however far behind it is where nothing of the range has changed", async () => {
    const { store, watcher, watch } = await following({ revision: 10 }, { a: 10 });
    lose(watch);
    const revision = 1_000_000;
    await store.give(answerOf({ revision }, {}));
    expect(await store.give({ ...answerOf({ revision }, {}), count: 1 })).toMatchObject({ minModRevision: 11 });
    expect((await store.watchOf(1)).startRevision).toBe(revision);
    expect(await codeOf(watcher.getBatch(backlog))).toBe("EV_BACKLOG_DONE");
    watcher.close();
  });

  test("asks first whether what is known was compacted away, and then delivers the difference", async () => {
    const { store, watcher, watch } = await following({ revision: 10 }, { a: 8, b: 9, c: 10 });
    lose(watch);
    expect(await store.give(refusalOf("compacted"))).toMatchObject({ revision: 10, keysOnly: true });
    expect(store.watches).toHaveLength(1);
    await store.give(answerOf({ revision: 20 }, { a: 8, b: 15, d: 16 }));
    expect(told(await watcher.getBatch(backlog))).toEqual(["b at 15", "d at 16", "c gone"]);
    watcher.close();
  });
});

describe("a watch that is refused for want of a permission", () => {
  const denied = new TransportError("model", 7, "etcdserver: permission denied", true);
  const access = { transport: undefined as never, token: "old" };

  test("may have been for its token: where a read is permitted, another one is had, and another stream for it", async () => {
    const { store, watcher, watch } = await following(
      { revision: 10 },
      { a: 10 },
      new ScriptedStore({ authenticates: true }),
    );
    watch.handlers.refused(denied, access);
    const read = await store.give(answerOf({ revision: 10 }, {}));
    // The whole range, as the watch: a part of it may be permitted.
    expect(read).toMatchObject({ key: raw("a"), rangeEnd: raw("z"), limit: 1, keysOnly: true });
    await macrotask();
    expect(store.done).toEqual(["the token expires", "the stream is left"]);
    await store.give(answerOf({ revision: 10 }, {}));
    expect((await store.watchOf(1)).startRevision).toBe(10);
    watcher.close();
  });

  test("rejects the get where a read is refused, too, and disturbs no other watch", async () => {
    const { store, watcher, watch } = await following(
      { revision: 10 },
      { a: 10 },
      new ScriptedStore({ authenticates: true }),
    );
    const get = codeOf(watcher.get());
    watch.handlers.refused(denied, access);
    await store.give(denied);
    expect(await get).toBe("EV_PERMISSION_DENIED");
    expect(store.done).toEqual([]);
    watcher.close();
  });
});

describe("a read that proves that the log is up to date", () => {
  test("does not where a key is missing whose deletion the watch has not brought", async () => {
    const { store, watcher, watch } = await following({ revision: 10 }, { a: 9, b: 10 });
    const joiner = store.watch();
    const joined = joiner.getBatch();
    // Nothing is newer, but there is one key less.
    expect(await store.give(answerOf({ revision: 12 }, {}, 1))).toMatchObject({ minModRevision: 11, keysOnly: true });
    watch.handlers.events([eventOf("delete", "b", 12)]);
    expect(told(await joined)).toEqual(["a at 9"]);
    for (const each of [watcher, joiner]) each.close();
  });

  test("does not where a key is newer that the watch has not brought", async () => {
    const { store, watcher, watch } = await following({ revision: 10 }, { a: 9, b: 10 });
    const joiner = store.watch();
    const joined = joiner.getBatch();
    await store.give(answerOf({ revision: 12 }, { b: 12 }, 2));
    watch.handlers.events([eventOf("put", "b", 12)]);
    expect(told(await joined)).toEqual(["a at 9", "b at 12"]);
    for (const each of [watcher, joiner]) each.close();
  });

  test("moves the revision to resume from, where nothing changed", async () => {
    const { store, watcher, watch } = await following({ revision: 10 }, { a: 10 });
    const joiner = store.watch();
    const joined = joiner.getBatch();
    await store.give(answerOf({ revision: 400 }, {}, 1));
    expect((await joined).revision).toBe(400);
    lose(watch);
    expect(await store.give(answerOf({ revision: 400 }, {}))).toMatchObject({ revision: 400 });
    for (const each of [watcher, joiner]) each.close();
  });

  test("is one for all who ask in a turn, and never one that was under way before", async () => {
    const { store, watcher } = await following({ revision: 10 }, { a: 10 });
    const early = [store.watch(), store.watch(), store.watch()];
    const earlyGets = early.map((joiner) => joiner.getBatch());
    await macrotask();
    expect(store.asked).toBe(1);
    const late = store.watch();
    const lateGet = late.getBatch();
    await store.give(answerOf({ revision: 11 }, {}, 1));
    for (const batch of await Promise.all(earlyGets)) expect(batch.revision).toBe(11);
    expect(store.asked, "the one who came later has a read of its own").toBe(1);
    await store.give(answerOf({ revision: 13 }, {}, 1));
    expect((await lateGet).revision).toBe(13);
    for (const each of [watcher, late, ...early]) each.close();
  });
});

describe("K7 a store that was replaced or restored", () => {
  const known = { clusterId: "1", raftTerm: 5, revision: 10 };

  test.each<[string, Partial<ResponseHeader>]>([
    ["another cluster id", { clusterId: "2", raftTerm: 5, revision: 90 }],
    ["a lower raft term", { clusterId: "1", raftTerm: 4, revision: 90 }],
    ["a lower revision", { clusterId: "1", raftTerm: 5, revision: 9 }],
  ])("is told by %s, and by nothing else", async (_title, header) => {
    const { store, watcher, watch } = await following(known, { a: 8, b: 9 });
    lose(watch);
    await store.give(answerOf(header, {}));
    const confirming = await store.give(answerOf(header, {}));
    expect(confirming, "a second read confirms it").toMatchObject({ revision: 10, keysOnly: true });
    const listed = await store.give(answerOf(header, { b: 7 }));
    expect(listed.keysOnly, "the range is read anew").not.toBe(true);
    const batch = await watcher.getBatch(backlog);
    expect(batch.revision).toBe(header.revision);
    expect(told(batch)).toEqual(["b at 7", "a gone"]);
    watcher.close();
  });

  test.each<[string, ReturnType<typeof answerOf> | Error]>([
    ["a stale answer", answerOf({ ...known, revision: 4 }, {})],
    ["the refusal of a revision that is yet to come", refusalOf("future")],
  ])("is not told by %s alone: a second read says otherwise", async (_title, suspicious) => {
    const { store, watcher, watch } = await following(known, { a: 8 });
    lose(watch);
    await store.give(suspicious);
    await store.give(answerOf({ ...known, revision: 12 }, {}));
    expect((await store.watchOf(1)).startRevision).toBe(10);
    expect(store.asked, "nothing is read anew").toBe(0);
    watcher.close();
  });

  test("shows itself by the watch, too: one that another cluster has created is left", async () => {
    const { store, watcher, watch } = await following(known, { a: 8 });
    lose(watch);
    await store.give(answerOf(known, {}));
    const next = await store.watchOf(1);
    next.handlers.created(headerOf({ clusterId: "2", raftTerm: 5, revision: 90 }));
    const other = { clusterId: "2", raftTerm: 5, revision: 90 };
    for (let i = 0; i < 2; i++) expect(await store.give(answerOf(other, {}))).toMatchObject({ keysOnly: true });
    await store.give(answerOf(other, { b: 80 }));
    expect(told(await watcher.getBatch(backlog))).toEqual(["b at 80", "a gone"]);
    watcher.close();
  });
});
