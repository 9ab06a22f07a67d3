import { describe, expect, test, vi } from "vitest";
import { json, text } from "../../src/index.ts";
import { EtcdKeyspace } from "../../src/etcd/index.ts";
import type { Watchable } from "../../src/watchable.ts";
import { etcdAvailable } from "../support/etcd.ts";
import { codeOf, observe, turn } from "../support/promises.ts";
import { type Line, startLine } from "./line.ts";
import { freshPrefix, useEtcd } from "./store.ts";

const backlog = { backlogOnly: true };
/** The connections of a keyspace that has read and watches. */
const [calls, streams] = [0, 1];

describe.skipIf(!etcdAvailable)("freshness and sharing in etcd", () => {
  const server = useEtcd();

  /** A keyspace that makes no call by itself for as long as a test takes. */
  function quiet(endpoints: string, namespace: string): EtcdKeyspace {
    return new EtcdKeyspace({ endpoints, namespace, staleAfterMs: 600_000 });
  }

  function setUp(): { keyspace: EtcdKeyspace; prefix: string } {
    const prefix = freshPrefix();
    return { keyspace: quiet(server.etcd.endpoint, prefix), prefix };
  }

  /** The same over a line that can be held. */
  async function setUpOnLine(): Promise<{ keyspace: EtcdKeyspace; prefix: string; line: Line } & AsyncDisposable> {
    const prefix = freshPrefix();
    const line = await startLine(server.etcd.port);
    const keyspace = quiet(line.endpoint, prefix);
    return {
      keyspace,
      prefix,
      line,
      async [Symbol.asyncDispose]() {
        await keyspace.close();
        await line[Symbol.asyncDispose]();
      },
    };
  }

  /** Resolves when the server has a watch for `value`, and has brought it up to date: a write is told at once. */
  async function established(value: Watchable<unknown>, write: () => Promise<unknown>): Promise<void> {
    using watcher = value.watch();
    await watcher.get(backlog).catch(() => {});
    const next = watcher.get();
    await write();
    await next;
  }

  test("K10 fresh: a joiner sees every write that ended before its first get, hundreds of times", async () => {
    const { keyspace, prefix } = setUp();
    await using _ = keyspace;
    const value = keyspace.value("key", json<number>());
    const range = keyspace.range("", json<number>());
    using staying = value.watch();
    using stayingToo = range.watch();
    await Promise.all([codeOf(staying.get(backlog)), stayingToo.getBatch()]);
    for (let i = 1; i <= 300; i++) {
      const revision = await server.store.put(`${prefix}key`, `${i}`);
      using one = value.watch();
      using other = range.watch();
      const [single, batch] = await Promise.all([one.get(backlog), other.getBatch(backlog)]);
      expect(single).toBe(i);
      expect(batch).toMatchObject({ type: "snapshot", changes: [{ value: i, revision }] });
      expect(batch.revision).toBeGreaterThanOrEqual(revision);
    }
  });

  test("K10 fresh: while other clients write without a pause, a joiner sees at least what was there when it asked", async () => {
    const { keyspace, prefix } = setUp();
    await using _ = keyspace;
    const range = keyspace.range("", json<number>());
    using staying = range.watch();
    await staying.getBatch();
    let written = 0;
    let done = false;
    const writing = (async () => {
      for (let i = 1; !done; i++) {
        await server.store.put(`${prefix}${i % 5}`, `${i}`);
        written = i;
      }
    })();
    for (let round = 0; round < 60; round++) {
      const atLeast = written;
      using joiner = range.watch();
      const { changes } = await joiner.getBatch();
      const newest = changes.reduce((max, change) => Math.max(max, change.type === "put" ? change.value : 0), 0);
      expect(newest).toBeGreaterThanOrEqual(atLeast);
      await turn();
    }
    done = true;
    await writing;
    expect(written).toBeGreaterThan(10);
  });

  test("K10 fresh: a joiner waits for the watch stream where that is late, and is given no older state", async () => {
    await using setting = await setUpOnLine();
    const { keyspace, prefix, line } = setting;
    const value = keyspace.value("key", text);
    using staying = value.watch();
    await established(value, () => server.store.put(`${prefix}key`, "old"));
    expect(await staying.get()).toBe("old");
    line.hold(streams);
    await server.store.put(`${prefix}key`, "new");
    // This one has had its first get: it is told what came, and nothing has.
    expect(await codeOf(staying.get(backlog))).toBe("EV_BACKLOG_DONE");
    using joiner = value.watch();
    const reads = await server.store.calls("Range");
    const first = joiner.get(backlog);
    const outcome = observe(first);
    await vi.waitFor(async () => expect(await server.store.calls("Range")).toBeGreaterThan(reads));
    // Another call of the keyspace has been answered after the joiner's read was asked.
    expect(await value.read()).toMatchObject({ value: "new" });
    await turn();
    expect(outcome()).toEqual({ state: "pending" });
    line.release(streams);
    expect(await first).toBe("new");
    expect(await staying.get()).toBe("new");
  });

  test("K10 fresh: where nothing changed a joiner does not need the watch stream, whatever was written elsewhere", async () => {
    await using setting = await setUpOnLine();
    const { keyspace, prefix, line } = setting;
    const range = keyspace.range("in/", text);
    using staying = range.watch();
    await established(range, () => server.store.put(`${prefix}in/key`, "here"));
    expect(await staying.get()).toMatchObject({ key: "in/key" });
    line.hold(streams);
    const elsewhere = await server.store.put(`${prefix}out/key`, "elsewhere");
    using joiner = range.watch();
    const batch = await joiner.getBatch();
    expect(batch).toMatchObject({ type: "snapshot", changes: [{ key: "in/key", value: "here" }] });
    expect(batch.revision).toBeGreaterThanOrEqual(elsewhere);
    line.release(streams);
  });

  test("K10 fresh: a joiner never shares a read that was under way when it came", async () => {
    await using setting = await setUpOnLine();
    const { keyspace, prefix, line } = setting;
    const value = keyspace.value("key", text);
    using staying = value.watch();
    await established(value, () => server.store.put(`${prefix}key`, "old"));
    expect(await staying.get()).toBe("old");
    line.hold(calls);
    line.hold(streams);
    const reads = await server.store.calls("Range");
    using early = value.watch();
    const earlyGet = early.get();
    // The server has carried out the read of the first joiner; its answer is held.
    await vi.waitFor(async () => {
      expect(await server.store.metric("grpc_server_handled_total", 'grpc_method="Range"')).toBe(reads + 1);
    });
    await server.store.put(`${prefix}key`, "new");
    using late = value.watch();
    const lateGet = late.get();
    line.release(calls);
    expect(await earlyGet).toBe("old");
    line.release(streams);
    expect(await lateGet).toBe("new");
  });

  test("K10 fresh: a read that the watch stream has overtaken is no sign of a rewind, and disturbs no watch", async () => {
    await using setting = await setUpOnLine();
    const { keyspace, prefix, line } = setting;
    const value = keyspace.value("key", text);
    using staying = value.watch();
    await established(value, () => server.store.put(`${prefix}key`, "old"));
    expect(await staying.get()).toBe("old");
    const requests = (): Promise<number> =>
      server.store.metric("grpc_server_msg_received_total", 'grpc_method="Watch"');
    const before = await requests();
    line.hold(calls);
    const reads = await server.store.calls("Range");
    using joiner = value.watch();
    const get = joiner.get();
    await vi.waitFor(async () => {
      expect(await server.store.metric("grpc_server_handled_total", 'grpc_method="Range"')).toBe(reads + 1);
    });
    await server.store.put(`${prefix}key`, "new");
    expect(await staying.get()).toBe("new");
    line.release(calls);
    expect(await get).toBe("new");
    await established(value, () => server.store.put(`${prefix}key`, "newer"));
    expect(await requests(), "creates and cancels of watches").toBe(before);
  });

  test("K10 shared: joiners share one read, which lists nothing", async () => {
    const { keyspace, prefix } = setUp();
    await using _ = keyspace;
    await server.store.txn(
      Array.from({ length: 100 }, (_unused, i) => ({ key: `${prefix}${i}`, value: "x".repeat(1000) })),
    );
    // The watch starts at the newest revision, so what happened then comes once more: let it be something else.
    await server.store.put("elsewhere", "x");
    const range = keyspace.range("", text);
    const sent = (): Promise<number> => server.store.metric("etcd_network_client_grpc_sent_bytes_total");
    const sentAtFirst = await sent();
    using staying = range.watch();
    expect((await staying.getBatch()).changes).toHaveLength(100);
    // The server counts an answer when it has sent it: the client may have it before.
    await vi.waitFor(async () => expect((await sent()) - sentAtFirst).toBeGreaterThan(100_000));
    const [readsBefore, sentBefore] = [await server.store.calls("Range"), await sent()];
    const joiners = Array.from({ length: 200 }, () => range.watch());
    const batches = await Promise.all(joiners.map((joiner) => joiner.getBatch()));
    for (const { type, changes } of batches) expect([type, changes.length]).toEqual(["snapshot", 100]);
    expect(await server.store.calls("Range")).toBe(readsBefore + 1);
    expect((await sent()) - sentBefore, "bytes sent").toBeLessThan(5000);
    // Those that come while a read is under way share the next one, so there are two at most.
    for (const joiner of joiners) joiner.close();
    const staggered = Array.from({ length: 200 }, async () => {
      for (let i = 0; i < 20; i++) await Promise.resolve();
      using joiner = range.watch();
      await joiner.getBatch();
    });
    const more = Array.from({ length: 200 }, async (_unused, i) => {
      for (let pause = 0; pause < i; pause++) await Promise.resolve();
      using joiner = range.watch();
      await joiner.getBatch();
    });
    await Promise.all([...staggered, ...more]);
    expect(await server.store.calls("Range")).toBeLessThanOrEqual(readsBefore + 1 + 5);
  });

  test("K10 shared: watchers that have begun cost the store nothing", async () => {
    const { keyspace, prefix } = setUp();
    await using _ = keyspace;
    const value = keyspace.value("key", json<number>());
    const watchers = Array.from({ length: 100 }, () => value.watch());
    await Promise.all(watchers.map((watcher) => codeOf(watcher.get(backlog))));
    const reads = await server.store.calls("Range");
    for (let i = 1; i <= 20; i++) {
      await server.store.put(`${prefix}key`, `${i}`);
      expect(await Promise.all(watchers.map((watcher) => watcher.get()))).toEqual(watchers.map(() => i));
    }
    expect(await server.store.calls("Range")).toBe(reads);
  });

  test("K10 shared: one watch in the server for each KeyValue and KeyRange, all on one stream", async () => {
    const { keyspace } = setUp();
    await using _ = keyspace;
    const watchersBefore = await server.store.watchers();
    const streamsBefore = await server.store.streams();
    const values = ["a", "b", "c"].map((key) => keyspace.value(key, text, { default: "" }));
    const range = keyspace.range("", text);
    const open = [...values, range].flatMap((value: Watchable<unknown>) =>
      Array.from({ length: 25 }, () => value.watch()),
    );
    await Promise.all(open.map((watcher) => watcher.get(backlog).catch(() => {})));
    await vi.waitFor(async () => expect(await server.store.watchers()).toBe(watchersBefore + 4));
    expect(await server.store.streams()).toBe(streamsBefore + 1);
    for (const watcher of open) watcher.close();
  });

  test("K12 clean: closing the last watcher of a range cancels its watch, closing the last of all the stream", async () => {
    const { keyspace, prefix } = setUp();
    await using _ = keyspace;
    const watchersBefore = await server.store.watchers();
    const streamsBefore = await server.store.streams();
    const counts = async (watchers: number, ofStreams: number): Promise<void> =>
      vi.waitFor(async () => {
        expect(await server.store.watchers()).toBe(watchersBefore + watchers);
        expect(await server.store.streams()).toBe(streamsBefore + ofStreams);
      });
    const one = keyspace.value("one", text);
    const other = keyspace.value("other", text);
    const [first, second] = [one.watch(), one.watch()];
    using third = other.watch();
    await Promise.all([first, second, third].map((watcher) => codeOf(watcher.get(backlog))));
    await counts(2, 1);
    first.close();
    // The second one is still served, by the same watch.
    const next = second.get();
    await server.store.put(`${prefix}one`, "1");
    expect(await next).toBe("1");
    await counts(2, 1);
    second.close();
    await counts(1, 1);
    // What was cancelled can be watched again.
    const again = one.watch();
    expect(await again.get()).toBe("1");
    await counts(2, 1);
    again.close();
    await counts(1, 1);
    const last = third.get();
    await server.store.put(`${prefix}other`, "1");
    expect(await last).toBe("1");
    third.close();
    await counts(0, 0);
  });

  test("K12 clean: watchers that close before they were served leave no watch", async () => {
    const { keyspace } = setUp();
    await using _ = keyspace;
    const watchersBefore = await server.store.watchers();
    const streamsBefore = await server.store.streams();
    using staying = keyspace.value("staying", text).watch();
    expect(await codeOf(staying.get(backlog))).toBe("EV_BACKLOG_DONE");
    for (let round = 0; round < 40; round++) {
      const watcher = keyspace.value(`${round}`, text).watch();
      void watcher.get();
      for (let i = 0; i < round; i++) await turn();
      watcher.close();
    }
    // The server carries out a stream's requests in order, so this watch comes after all that were cancelled.
    using last = keyspace.value("last", text, { default: "none" }).watch();
    expect(await last.get()).toBe("none");
    await vi.waitFor(async () => {
      expect(await server.store.watchers()).toBe(watchersBefore + 2);
      expect(await server.store.streams()).toBe(streamsBefore + 1);
    });
  });
});
