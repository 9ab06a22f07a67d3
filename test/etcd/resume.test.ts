import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { text } from "../../src/index.ts";
import { EtcdKeyspace } from "../../src/etcd/index.ts";
import { decodeWatch } from "../../src/etcd/proto/hot-decoders.ts";
import type { Batch, KeyRange, RangeWatcher, ReadableKeyRange } from "../../src/keyspace.ts";
import { etcdAvailable, startEtcd } from "../support/etcd.ts";
import { codeOf, rejection } from "../support/promises.ts";
import { type Proxy, startProxy } from "../support/proxy.ts";
import { startLine } from "./line.ts";
import { Replica } from "../support/replica.ts";
import { freshPrefix, Store, useEtcd } from "./store.ts";

// The real thing; a test looks at what it has read.
vi.mock("../../src/etcd/proto/hot-decoders.ts", { spy: true });

const backlog = { backlogOnly: true };

/** Resolves when all watchers of `range` can be given what the store holds now: a watcher that joins was. */
async function synced(range: ReadableKeyRange<unknown>): Promise<Batch<unknown>> {
  using watcher = range.watch();
  return await watcher.getBatch();
}

/** What a batch changes, as text. */
function told({ changes }: Batch<unknown>): string[] {
  return changes.map((change) => {
    if (change.type === "put") return `${change.key} = ${String(change.value)}`;
    return change.type === "delete" ? `${change.key} gone` : `${change.key} invalid`;
  });
}

describe.skipIf(!etcdAvailable)("resuming in etcd", () => {
  const server = useEtcd();

  interface Setting extends AsyncDisposable {
    readonly keyspace: EtcdKeyspace;
    readonly prefix: string;
    readonly range: KeyRange<string>;
    /** Between the keyspace and the server. */
    readonly proxy: Proxy;
    /** Open as long as the test runs, so that one watch serves all of it. */
    readonly witness: RangeWatcher<string>;
    put(key: string, value: string): Promise<number>;
    delete(key: string): Promise<number>;
  }

  /** A keyspace over a proxy, with a watch that is up: a write has come over it. */
  async function setUp(): Promise<Setting> {
    const prefix = freshPrefix();
    const proxy = await startProxy(server.etcd.port);
    const keyspace = new EtcdKeyspace({ endpoints: proxy.endpoint, namespace: prefix });
    const range = keyspace.range("", text);
    const put: Setting["put"] = (key, value) => server.store.put(prefix + key, value);
    const witness = range.watch();
    await witness.getBatch();
    await put("established", "1");
    await witness.getBatch();
    return {
      keyspace,
      prefix,
      proxy,
      range,
      witness,
      put,
      delete: (key) => server.store.delete(prefix + key),
      async [Symbol.asyncDispose]() {
        await keyspace.close();
        await proxy[Symbol.asyncDispose]();
      },
    };
  }

  /** Cuts the keyspace off, does something to the store, and proves that none of it has come through. */
  async function whileCutOff({ proxy, range, witness }: Setting, act: () => Promise<void>): Promise<void> {
    await synced(range);
    await witness.getBatch(backlog).catch(() => {});
    const { accepted } = proxy;
    expect(proxy.connections).toBeGreaterThan(1);
    await proxy.cut();
    await vi.waitFor(() => expect(proxy.connections).toBe(0), { interval: 1 });
    await act();
    expect(await codeOf(witness.getBatch(backlog))).toBe("EV_BACKLOG_DONE");
    await proxy.heal();
    await synced(range);
    expect(proxy.accepted).toBeGreaterThan(accepted);
  }

  describe("after a lost connection", () => {
    test("K5 no gap: every watcher is told what changed since, once, as of the revision it had come to", async () => {
      await using setting = await setUp();
      const { range, put, delete: remove } = setting;
      for (const key of ["a", "b", "c", "d"]) await put(key, "1");
      await synced(range);
      using drained = range.watch();
      using midway = range.watch();
      using fresh = range.watch();
      const replicas = [new Replica(), new Replica(), new Replica()] as const;
      await replicas[0].getBatch(drained);
      while ((await replicas[1].get(midway)).key !== "b");
      await whileCutOff(setting, async () => {
        for (let i = 2; i < 6; i++) await put("a", `${i}`);
        await remove("b");
        await remove("d");
        await put("d", "1");
        await put("e", "came");
        await put("f", "came and");
        await remove("f");
        await put("c", "1");
      });
      expect(told(await replicas[0].getBatch(drained, backlog))).toEqual(["a = 5", "b gone", "d = 1", "e = came"]);
      // Was handed "a" and "b", and owes "c" and "d" to its snapshot.
      expect(told(await replicas[1].getBatch(midway, backlog))).toEqual([
        "a = 5",
        "b gone",
        "d = 1",
        "e = came",
        "c = 1",
      ]);
      await replicas[2].getBatch(fresh, backlog);
      for (const replica of replicas) {
        expect(new Map([...replica.map].map(([key, { value }]) => [key, value]))).toEqual(
          new Map(
            [...(await server.store.all(setting.prefix))].map(([key, held]) => [
              key.slice(setting.prefix.length),
              held.value,
            ]),
          ),
        );
      }
    });

    test("K5 no gap: a put and a delete on either side of the cut", async () => {
      await using setting = await setUp();
      const { range, put, delete: remove } = setting;
      await put("a", "1");
      using watcher = range.watch();
      const replica = new Replica();
      await replica.getBatch(watcher);
      // The last event before the cut is the put, the first one after it the delete.
      await put("b", "1");
      expect(told(await replica.getBatch(watcher))).toEqual(["b = 1"]);
      await whileCutOff(setting, async () => {
        await remove("b");
      });
      expect(told(await replica.getBatch(watcher, backlog))).toEqual(["b gone"]);
      // And the other way round.
      await remove("a");
      expect(told(await replica.getBatch(watcher))).toEqual(["a gone"]);
      await whileCutOff(setting, async () => {
        await put("a", "1");
      });
      expect(told(await replica.getBatch(watcher, backlog))).toEqual(["a = 1"]);
    });

    test("K5 no gap: cut again and again, while it is written, a single get at a time", async () => {
      await using setting = await setUp();
      const { range, put, proxy } = setting;
      using watcher = range.watch();
      const replica = new Replica();
      let rounds = 0;
      const consumer = (async () => {
        while (replica.map.get("end") === undefined) await replica.get(watcher);
      })();
      const last = new Map<string, string>();
      while (proxy.accepted < 12) {
        for (let i = 0; i < 5; i++) {
          last.set(`${i}`, `${rounds}`);
          await put(`${i}`, `${rounds}`);
        }
        await proxy.cut();
        await put("x", `${++rounds}`);
        await proxy.heal();
        const { accepted } = proxy;
        await vi.waitFor(() => expect(proxy.accepted).toBeGreaterThan(accepted), { interval: 5 });
      }
      await put("end", "1");
      await consumer;
      expect(replica.values()).toEqual({ ...Object.fromEntries(last), x: `${rounds}`, established: "1", end: "1" });
    });

    test("K9 transient: a get that waits is not disturbed, and no error surfaces", async () => {
      await using setting = await setUp();
      const { keyspace, range, put, proxy } = setting;
      const value = keyspace.value("key", text);
      using watchers = disposeAll([range.watch(), range.watch()]);
      using single = value.watch();
      using first = keyspace.value("other", text).watch();
      await Promise.all(watchers.all.map((watcher) => watcher.getBatch()));
      const gets = [watchers.all[0]!.getBatch(), watchers.all[1]!.get(), single.get(), first.get()] as const;
      for (let round = 0; round < 3; round++) {
        const { accepted } = proxy;
        await proxy.cut();
        await proxy.heal();
        await vi.waitFor(() => expect(proxy.accepted).toBeGreaterThan(accepted + 1), { interval: 5, timeout: 5000 });
      }
      await proxy.cut();
      await put("key", "1");
      await put("other", "1");
      await proxy.heal();
      expect(await gets[2]).toBe("1");
      expect(await gets[3]).toBe("1");
      expect((await gets[0]).changes[0]).toMatchObject({ key: "key", value: "1" });
      expect(await gets[1]).toMatchObject({ key: "key", value: "1" });
    });

    test("K5 no gap: a backlog of thousands of events, more than 4 MB in all", async () => {
      await using setting = await setUp();
      const { keyspace, range, prefix } = setting;
      const one = keyspace.value("7", text);
      using watcher = range.watch();
      using ofOne = one.watch();
      const replica = new Replica();
      await replica.getBatch(watcher);
      expect(await codeOf(ofOne.get(backlog))).toBe("EV_BACKLOG_DONE");
      const filler = "x".repeat(1000);
      await whileCutOff(setting, async () => {
        // Every key is written three times, and all is one transaction of a hundred or a single write.
        for (let round = 0; round < 3; round++) {
          for (let i = 0; i < 2000; i += 100) {
            const keys = Array.from({ length: 100 }, (_, j) => `${i + j}`);
            await server.store.txn(keys.map((key) => ({ key: prefix + key, value: `${round} ${key} ${filler}` })));
          }
          await setting.delete("7");
          await setting.put("7", `${round}`);
        }
      });
      expect((await replica.getBatch(watcher, backlog)).changes.length).toBe(2000);
      expect(replica.map.get("7")?.value).toBe("2");
      expect(replica.map.get("1999")?.value).toBe(`2 1999 ${filler}`);
      expect(await ofOne.get()).toBe("2");
    });

    test("K5 no gap: cut in the middle of a backlog, it goes on after the last revision that came", async () => {
      const prefix = freshPrefix();
      await using line = await startLine(server.etcd.port);
      await using keyspace = new EtcdKeyspace({ endpoints: line.endpoint, namespace: prefix });
      const range = keyspace.range("", text);
      const count = 2500;
      const putAll = async (value: string): Promise<void> => {
        for (let i = 0; i < count; i += 50) {
          await Promise.all(Array.from({ length: 50 }, (_unused, j) => server.store.put(`${prefix}${i + j}`, value)));
        }
      };
      await putAll("0");
      using watcher = range.watch();
      expect((await watcher.getBatch()).changes).toHaveLength(count);
      line.refuse();
      // The store sends a thousand revisions at a time; each response tells the store's newest revision.
      await putAll("1");
      let cuts = 0;
      const real = await vi.importActual<typeof import("../../src/etcd/proto/hot-decoders.ts")>(
        "../../src/etcd/proto/hot-decoders.ts",
      );
      vi.mocked(decodeWatch).mockImplementation((bytes) => {
        const message = real.decodeWatch(bytes);
        if (message.events.length > 0 && cuts < 2) {
          expect(message.header.revision).toBeGreaterThan(message.events.at(-1)!.modRevision);
          cuts++;
          line.reset();
        }
        return message;
      });
      try {
        line.accept();
        await synced(range);
      } finally {
        vi.mocked(decodeWatch).mockReset();
      }
      expect((await watcher.getBatch(backlog)).changes).toHaveLength(count);
      expect(cuts).toBe(2);
    });

    test("K11 big: watch responses in fragments are reassembled, and transactions stay whole", async () => {
      await using setting = await setUp();
      const { range, prefix } = setting;
      using eager = range.watch();
      const replica = new Replica();
      await replica.getBatch(eager);
      vi.mocked(decodeWatch).mockClear();
      const half = 680_000;
      const batches: Batch<string>[] = [];
      const consumer = (async () => {
        while (replica.map.get("end") === undefined) {
          batches.push(await replica.getBatch(eager));
          const [one, other] = ["one", "other"].map((key) => replica.map.get(key));
          expect([one?.value, one?.revision]).toEqual([other?.value, other?.revision]);
        }
      })();
      await whileCutOff(setting, async () => {
        for (let i = 0; i < 6; i++) {
          const value = `${i}`.padEnd(half, "x");
          await server.store.txn(["one", "other"].map((key) => ({ key: prefix + key, value })));
        }
        for (const key of ["big", "bigger"]) await setting.put(key, key.padEnd(1_400_000, "x"));
      });
      // Connected as well.
      for (let i = 6; i < 9; i++) {
        const value = `${i}`.padEnd(half, "x");
        await server.store.txn(["one", "other"].map((key) => ({ key: prefix + key, value })));
      }
      await setting.put("end", "1");
      await consumer;
      expect(replica.map.get("one")?.value.slice(0, 2)).toBe("8x");
      expect(replica.map.get("big")?.value).toHaveLength(1_400_000);
      const messages = vi.mocked(decodeWatch).mock.results.map(({ value }) => value as ReturnType<typeof decodeWatch>);
      expect(messages.filter(({ fragment }) => fragment).length).toBeGreaterThan(2);
    });
  });

  describe("after a crash of the server", () => {
    test("K5 no gap: killed and restarted, it is resumed where it was left", async () => {
      await using setting = await setUp();
      const { keyspace, range, put, delete: remove, prefix } = setting;
      await put("a", "1");
      await put("b", "1");
      await put("c", "1");
      await synced(range);
      using watcher = range.watch();
      using single = range.watch();
      using status = keyspace.status.watch();
      const replicas = [new Replica(), new Replica()] as const;
      await replicas[0].getBatch(watcher);
      while ((await replicas[1].get(single)).key !== "c");
      await put("a", "2");
      const { pid } = server.etcd;
      await server.etcd.kill();
      expect(server.etcd.pid).toBe(undefined);
      const waiting = replicas[0].getBatch(watcher);
      await server.etcd.restart();
      expect(server.etcd.pid).not.toBe(pid);
      await remove("b");
      await put("c", "2");
      await synced(range);
      expect(await waiting).toMatchObject({ type: "update" });
      await replicas[0].getBatch(watcher, backlog).catch(() => {});
      while (replicas[1].map.get("c")?.value !== "2") await replicas[1].get(single);
      const held = new Map(
        [...(await server.store.all(prefix))].map(([key, known]) => [key.slice(prefix.length), known] as const),
      );
      for (const replica of replicas) expect(replica.map).toEqual(held);
      expect(await status.get({ filter: ({ state }) => state === "live" })).toMatchObject({ state: "live" });
    });
  });

  describe("after a compaction", () => {
    test("K5 difference: changed keys once, then vanished ones at the snapshot's revision, unchanged ones not at all", async () => {
      await using setting = await setUp();
      const { range, put, delete: remove } = setting;
      for (const key of ["changed", "same", "vanished", "recreated", "rewritten", "unread"]) await put(key, "1");
      await synced(range);
      using drained = range.watch();
      using midway = range.watch();
      using fresh = range.watch();
      const replicas = [new Replica(), new Replica(), new Replica()] as const;
      const known = await replicas[0].getBatch(drained);
      while ((await replicas[1].get(midway)).key !== "changed");
      let compacted = 0;
      let rewritten = 0;
      let recreated = 0;
      await whileCutOff(setting, async () => {
        for (let i = 2; i < 5; i++) await put("changed", `${i}`);
        await remove("vanished");
        await remove("recreated");
        recreated = await put("recreated", "1");
        await put("passing", "1");
        await remove("passing");
        await remove("unread");
        await put("new", "1");
        rewritten = await put("rewritten", "1");
        await put("new", "2");
        compacted = await server.store.compact();
        // It bit: what the watchers know is not to be had any more.
        expect(compacted).toBeGreaterThan(known.revision);
        await expect(
          server.store.call((await import("../../src/etcd/proto/methods.ts")).range, {
            key: new TextEncoder().encode("a"),
            revision: known.revision,
          }),
        ).rejects.toThrow("compacted");
      });
      const batch = await replicas[0].getBatch(drained, backlog);
      expect(batch.type).toBe("update");
      expect(told(batch)).toEqual(
        ["changed = 4", "recreated = 1", "new = 2", "unread gone", "vanished gone"].sort(byPosition(told(batch))),
      );
      for (const change of batch.changes) if (change.type === "delete") expect(change.revision).toBe(batch.revision);
      expect(batch.revision).toBeGreaterThanOrEqual(compacted);
      expect(batch.changes.findIndex(({ type }) => type === "delete")).toBe(3);
      // Only of what it was handed is this one told that it is gone.
      const rest = await replicas[1].getBatch(midway, backlog);
      expect(told(rest)).toEqual(["same = 1", "changed = 4", "recreated = 1", "rewritten = 1", "new = 2"]);
      const whole = await replicas[2].getBatch(fresh, backlog);
      expect(whole.type).toBe("snapshot");
      expect(told(whole).filter((change) => !change.startsWith("established"))).toEqual(told(rest));
      // The revisions that were not told are recorded.
      expect(replicas[2].map.get("rewritten")?.revision).toBe(rewritten);
      expect(replicas[2].map.get("recreated")).toMatchObject({ revision: recreated, createRevision: recreated });
      await put("changed", "5");
      for (const [i, watcher] of [drained, midway, fresh].entries()) {
        expect(told(await replicas[i]!.getBatch(watcher))).toEqual(["changed = 5"]);
        expect(replicas[i]!.values()).toEqual(replicas[0].values());
      }
    });

    test("K5 difference: where nothing changed in the range, nothing is delivered", async () => {
      await using setting = await setUp();
      const { range, put } = setting;
      await put("a", "1");
      using watcher = range.watch();
      await watcher.getBatch();
      await whileCutOff(setting, async () => {
        await server.store.put(freshPrefix(), "elsewhere");
        await server.store.compact();
      });
      expect(await codeOf(watcher.getBatch(backlog))).toBe("EV_BACKLOG_DONE");
      await put("a", "2");
      expect(told(await watcher.getBatch())).toEqual(["a = 2"]);
    });

    test("K5 difference: a key of its own, absent, present and absent again", async () => {
      await using setting = await setUp();
      const { keyspace, put, delete: remove } = setting;
      const value = keyspace.value("key", text, { default: "none" });
      using watcher = value.watch();
      using updates = value.updates.watch();
      expect(await watcher.get()).toBe("none");
      expect(await codeOf(updates.get(backlog))).toBe("EV_BACKLOG_DONE");
      const compacted = async (act: () => Promise<unknown>): Promise<void> => {
        await whileCutOff(setting, async () => {
          await act();
          await server.store.put(freshPrefix(), "elsewhere");
          await server.store.compact();
        });
        using joiner = value.watch();
        await joiner.get();
      };
      await compacted(() => put("key", "1"));
      expect(await watcher.get(backlog)).toBe("1");
      expect(await updates.get(backlog)).toMatchObject({ type: "put", value: "1" });
      await compacted(async () => {
        await remove("key");
        await put("key", "2");
        await remove("key");
      });
      expect(await watcher.get(backlog)).toBe("none");
      expect(await updates.get(backlog)).toMatchObject({ type: "delete", key: "key" });
      await compacted(async () => {
        await put("key", "3");
        await remove("key");
      });
      expect(await codeOf(watcher.get(backlog))).toBe("EV_BACKLOG_DONE");
      expect(await codeOf(updates.get(backlog))).toBe("EV_BACKLOG_DONE");
    });

    test("K5 no gap: a compaction while connected disturbs nobody, and re-reads nothing", async () => {
      await using setting = await setUp();
      const { range, put } = setting;
      using watcher = range.watch();
      const replica = new Replica();
      await replica.getBatch(watcher);
      const ranges = await server.store.calls("Range");
      for (let i = 0; i < 10; i++) {
        const revision = await put("a", `${i}`);
        await server.store.compact(revision);
        expect(told(await replica.getBatch(watcher))).toEqual([`a = ${i}`]);
      }
      expect(await server.store.calls("Range")).toBe(ranges);
    });

    test("K5 no gap: a compaction of what a watch that is new has not sent yet", async () => {
      await using setting = await setUp();
      const { keyspace, put } = setting;
      for (let i = 0; i < 10; i++) {
        // Of its own, with a watch that the store brings up to date only after a while.
        const range = keyspace.range("", text);
        using watcher = range.watch();
        await watcher.getBatch();
        await server.store.compact(await put("a", `${i}`));
        expect(told(await watcher.getBatch())).toEqual([`a = ${i}`]);
      }
    });

    test.each([
      ["at the last revision it knows", 0],
      ["at the first one it does not know", 1],
      ["at the second one it does not know", 2],
    ])("K5 no gap: compacted %s, it misses no delete", async (_title, after) => {
      await using setting = await setUp();
      const { range, put, delete: remove } = setting;
      for (const key of ["a", "b", "c"]) await put(key, "1");
      using watcher = range.watch();
      const replica = new Replica();
      const { revision } = await replica.getBatch(watcher);
      await whileCutOff(setting, async () => {
        expect(await remove("a")).toBe(revision + 1);
        expect(await remove("b")).toBe(revision + 2);
        await server.store.compact(revision + after);
      });
      expect(told(await replica.getBatch(watcher, backlog)).sort()).toEqual(["a gone", "b gone"]);
      await remove("c");
      expect(told(await replica.getBatch(watcher))).toEqual(["c gone"]);
    });
  });

  describe("after a rewind", () => {
    /** A line to one server or another, and a keyspace over it. */
    async function setUpOnLine(port: number, prefix: string) {
      const line = await startLine(port);
      const keyspace = new EtcdKeyspace({ endpoints: line.endpoint, namespace: prefix });
      return {
        line,
        keyspace,
        range: keyspace.range("", text),
        async [Symbol.asyncDispose]() {
          await keyspace.close();
          await line[Symbol.asyncDispose]();
        },
      };
    }

    test("K7 another cluster takes the address: the difference is delivered, and revisions go on from its own", async () => {
      const prefix = freshPrefix();
      await using other = await startEtcd();
      using otherStore = new Store(other.endpoint);
      await using setting = await setUpOnLine(server.etcd.port, prefix);
      const { line, range } = setting;
      for (const key of ["a", "b", "c"]) await server.store.put(prefix + key, "1");
      await otherStore.put(`${prefix}b`, "other");
      await otherStore.put(`${prefix}d`, "other");
      using drained = range.watch();
      using midway = range.watch();
      const [all, some] = [new Replica(), new Replica(() => 1)];
      await all.getBatch(drained);
      expect(await some.get(midway)).toMatchObject({ key: "a" });
      expect(await otherStore.revision()).toBeLessThan(all.revision);
      const waiting = drained.getBatch();
      line.target = other.port;
      line.reset();
      const batch = await waiting;
      expect(batch.type).toBe("update");
      expect(told(batch).slice(0, 2)).toEqual(["b = other", "d = other"]);
      expect(told(batch).slice(2).sort()).toEqual(["a gone", "c gone"]);
      expect(batch.revision).toBeLessThan(all.revision);
      expect(told(await some.getBatch(midway))).toEqual(["b = other", "d = other", "a gone"]);
      expect(some.values()).toEqual({ b: "other", d: "other" });
      // On from there, with resumes of the usual kind.
      const next = await otherStore.put(`${prefix}b`, "next");
      expect(await drained.getBatch()).toMatchObject({ revision: next, changes: [{ key: "b", revision: next }] });
      line.reset();
      await otherStore.put(`${prefix}e`, "1");
      expect(told(await drained.getBatch())).toEqual(["e = 1"]);
    });

    test("K7 another cluster takes the address for new connections only: the two are not mixed up", async () => {
      const prefix = freshPrefix();
      await using other = await startEtcd();
      using otherStore = new Store(other.endpoint);
      await using setting = await setUpOnLine(server.etcd.port, prefix);
      const { line, range, keyspace } = setting;
      await server.store.put(`${prefix}a`, "1");
      // The other one is ahead in revisions, so nothing about its events is old.
      const { revision } = await range.read();
      while ((await otherStore.put(`${prefix}busy`, "1")) <= revision + 100);
      using watcher = range.watch();
      await watcher.getBatch();
      using status = keyspace.status.watch();
      await status.get({ filter: ({ state }) => state === "live" });
      const next = watcher.getBatch();
      line.target = other.port;
      // Of the two connections, that of the calls goes on.
      const streams = await otherStore.metric("grpc_server_started_total", 'grpc_method="Watch"');
      line.reset(1);
      await vi.waitFor(
        async () => {
          const started = await otherStore.metric("grpc_server_started_total", 'grpc_method="Watch"');
          expect(started).toBeGreaterThan(streams + 1);
        },
        { timeout: 5000 },
      );
      await otherStore.put(`${prefix}b`, "other");
      line.reset(0);
      const batch = await next;
      expect(told(batch)).toEqual(["busy = 1", "b = other", "a gone"]);
    });

    test("K7 wiped: the same cluster with nothing in it, or with other things", async () => {
      const prefix = freshPrefix();
      await using own = await startEtcd();
      using store = new Store(own.endpoint);
      await using setting = await setUpOnLine(own.port, prefix);
      const { range, keyspace } = setting;
      for (let i = 0; i < 20; i++) await store.put(`${prefix}a`, `${i}`);
      await store.put(`${prefix}b`, "1");
      const value = keyspace.value("a", text);
      using watcher = range.watch();
      using ofOne = value.watch();
      const { revision } = await watcher.getBatch();
      expect(await ofOne.get()).toBe("19");
      await own.wipe();
      const empty = await watcher.getBatch();
      expect(told(empty).sort()).toEqual(["a gone", "b gone"]);
      expect(empty.revision).toBeLessThan(revision);
      for (const change of empty.changes) expect(change.revision).toBe(empty.revision);
      expect(await ofOne.get()).toBe(undefined);
      const again = await store.put(`${prefix}b`, "2");
      expect(await watcher.getBatch()).toMatchObject({
        revision: again,
        changes: [{ key: "b", createRevision: again }],
      });
      expect((await synced(range)).revision).toBe(again);
    });

    test("K7 restored from a backup: what was written since is taken back, what was not is not told", async () => {
      const folder = mkdtempSync(join(tmpdir(), "event-value-backup-"));
      try {
        const data = join(folder, "data");
        const prefix = freshPrefix();
        // The last of two equal options counts.
        await using own = await startEtcd({ args: [`--data-dir=${data}`] });
        using store = new Store(own.endpoint);
        const kept = await store.put(`${prefix}kept`, "1");
        const before = await store.put(`${prefix}changed`, "before");
        await store.put(`${prefix}removed`, "1");
        await own.stop();
        cpSync(data, join(folder, "backup"), { recursive: true });
        await own.restart();
        await using setting = await setUpOnLine(own.port, prefix);
        const { range } = setting;
        using early = range.watch();
        using late = range.watch();
        expect(told(await early.getBatch())).toEqual(["kept = 1", "changed = before", "removed = 1"]);
        await store.put(`${prefix}changed`, "after");
        await store.put(`${prefix}added`, "1");
        await store.delete(`${prefix}removed`);
        await synced(range);
        const known = await late.getBatch();
        await own.stop();
        rmSync(data, { recursive: true });
        cpSync(join(folder, "backup"), data, { recursive: true });
        await own.restart();
        const batch = await late.getBatch();
        expect(batch.revision).toBeLessThan(known.revision);
        expect(told(batch)).toEqual(["changed = before", "removed = 1", "added gone"]);
        expect(batch.changes[0]!.revision).toBe(before);
        // Who did not read in between has been told nothing but "kept", "changed" and "removed", as they are again.
        const next = await store.put(`${prefix}next`, "1");
        await synced(range);
        const caughtUp = await early.getBatch(backlog);
        const news = told(caughtUp).filter((change) => !["changed = before", "removed = 1"].includes(change));
        expect(news).toEqual(["next = 1"]);
        expect(caughtUp.revision).toBe(next);
        const whole = await synced(range);
        expect(told(whole)).toEqual(["kept = 1", "changed = before", "removed = 1", "next = 1"]);
        expect(whole.changes[0]!.revision).toBe(kept);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
  });

  test("K8 bad data is local, also when it comes by a resume and by a compaction", async () => {
    await using setting = await setUp();
    const { range, prefix, put } = setting;
    using watcher = range.watch();
    using single = range.watch();
    await watcher.getBatch();
    while ((await codeOf(single.get(backlog).then(() => Promise.reject(new Error("more"))))) !== "EV_BACKLOG_DONE");
    for (const compacts of [false, true]) {
      await whileCutOff(setting, async () => {
        await server.store.put(`${prefix}bad`, Uint8Array.of(0xff, compacts ? 1 : 0));
        await put("good", `${compacts}`);
        if (compacts) await server.store.compact();
      });
      expect((await watcher.getBatch(backlog)).changes.map(({ type, key }) => [type, key])).toEqual([
        ["invalid", "bad"],
        ["put", "good"],
      ]);
      expect(await rejection(single.get(backlog))).toMatchObject({ code: "EV_DECODE", key: "bad" });
      expect(await single.get(backlog)).toMatchObject({ key: "good", value: `${compacts}` });
    }
  });
});

/** Sorts texts as they stand in `texts`, so that a list of the same ones equals it whatever its order. */
function byPosition(texts: readonly string[]): (a: string, b: string) => number {
  return (a, b) => texts.indexOf(a) - texts.indexOf(b);
}

function disposeAll<D extends Disposable>(all: readonly D[]): { readonly all: readonly D[] } & Disposable {
  return {
    all,
    [Symbol.dispose]() {
      for (const disposable of all) disposable[Symbol.dispose]();
    },
  };
}
