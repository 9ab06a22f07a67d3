/** Ranges in etcd: pages, keys that are not UTF-8, all keys there are. The rest, K3, K4 and K6 among it, is in test/conformance. */
import { describe, expect, test } from "vitest";
import { text } from "../../src/index.ts";
import { EtcdKeyspace } from "../../src/etcd/index.ts";
import type { Batch, KeyRange, ReadableKeyRange } from "../../src/keyspace.ts";
import { etcdAvailable } from "../support/etcd.ts";
import { codeOf, rejection } from "../support/promises.ts";
import { Random, seed } from "../support/seed.ts";
import { freshPrefix, raw, useEtcd } from "./store.ts";

const backlog = { backlogOnly: true };

/** Resolves when all watchers of `range` can be given what the store holds now: a watcher that joins was. */
async function synced(range: ReadableKeyRange<unknown>): Promise<Batch<unknown>> {
  using watcher = range.watch();
  return await watcher.getBatch();
}

describe.skipIf(!etcdAvailable)("a range in etcd", () => {
  const server = useEtcd();

  /** A keyspace with all keys to itself. */
  function setUp(): { keyspace: EtcdKeyspace; prefix: string; range: KeyRange<string> } {
    const prefix = freshPrefix();
    const keyspace = new EtcdKeyspace({ endpoints: server.etcd.endpoint, namespace: prefix });
    return { keyspace, prefix, range: keyspace.range("", text) };
  }

  test("read() watches nothing", async () => {
    const { keyspace, prefix, range } = setUp();
    await using _ = keyspace;
    const watchers = await server.store.watchers();
    await server.store.put(`${prefix}a`, "1");
    expect(await range.read()).toMatchObject({ changes: [{ key: "a" }] });
    expect(await server.store.watchers()).toBe(watchers);
  });

  test("K10 shared: all live maps and watchers of a range are one watch of the store", async () => {
    const { keyspace, prefix, range } = setUp();
    await using _ = keyspace;
    const watchers = await server.store.watchers();
    using watcher = range.watch();
    const maps = await Promise.all(Array.from({ length: 10 }, () => range.live()));
    using ofMap = maps[0]!.watch();
    await Promise.all([watcher.getBatch(), ofMap.get()]);
    await maps[1]!.atLeast(await server.store.put(`${prefix}a`, "1"));
    expect(await server.store.watchers()).toBe(watchers + 1);
    for (const map of maps) map.close();
  });

  test("K11 big: thousands of keys of any size, in many pages, are one snapshot of one revision", async () => {
    const { keyspace, prefix, range } = setUp();
    await using _ = keyspace;
    const random = new Random(seed);
    const expected = new Map<string, string>();
    for (let page = 0; page < 40; page++) {
      const operations = Array.from({ length: 100 }, () => {
        const value = "x".repeat(random.below(random.below(20) === 0 ? 30_000 : 200));
        return { key: `${prefix}${random.below(1e9)}`, value };
      });
      const unique = [...new Map(operations.map((operation) => [operation.key, operation])).values()];
      await server.store.txn(unique);
      for (const { key, value } of unique) expected.set(key.slice(prefix.length), value);
    }
    const calls = await server.store.calls("Range");
    using watcher = range.watch();
    const batch = await watcher.getBatch();
    expect(await server.store.calls("Range")).toBeGreaterThan(calls + 3);
    expect(new Map(batch.changes.map((change) => [change.key, change.type === "put" && change.value]))).toEqual(
      expected,
    );
    const revisions = batch.changes.map(({ revision }) => revision);
    expect(revisions).toEqual([...revisions].sort((a, b) => a - b));
  });

  test("K8 a key that is not UTF-8 arrives as invalid, and goes as it came", async () => {
    const { keyspace, prefix, range } = setUp();
    await using _ = keyspace;
    const key = Uint8Array.of(...raw(prefix), 0x61, 0xff, 0x62);
    using whole = range.watch();
    using single = range.watch();
    await whole.getBatch();
    expect(await codeOf(single.get(backlog))).toBe("EV_BACKLOG_DONE");
    const revision = await server.store.put(key, "value");
    const error = expect.objectContaining({ code: "EV_DECODE", key: "a\uFFFDb", revision });
    const invalid = { type: "invalid", key: "a\uFFFDb", bytes: raw("value"), error, revision };
    expect((await whole.getBatch()).changes).toEqual([invalid]);
    expect(await rejection(single.get())).toEqual(error);
    using joiner = range.watch();
    expect((await joiner.getBatch()).changes).toEqual([invalid]);
    expect((await range.read()).changes).toEqual([invalid]);
    // Another such key, the same as text, and the key that this text is.
    await server.store.put(Uint8Array.of(...raw(prefix), 0x61, 0xfe, 0x62), "other");
    await server.store.put(`${prefix}a\uFFFDb`, "proper");
    await synced(range);
    const { changes } = await whole.getBatch();
    expect(changes.map(({ type, key }) => [type, key])).toEqual([
      ["invalid", "a\uFFFDb"],
      ["put", "a\uFFFDb"],
    ]);
    await server.store.delete(key);
    expect((await whole.getBatch()).changes).toMatchObject([{ type: "delete", key: "a\uFFFDb" }]);
  });

  test("K8 keys that are not UTF-8 are no keys of a live map, and are listed as invalid as long as one is there", async () => {
    const { keyspace, prefix, range } = setUp();
    await using _ = keyspace;
    const [one, other] = [0xff, 0xfe].map((byte) => Uint8Array.of(...raw(prefix), 0x61, byte, 0x62));
    // The text of both, as a key.
    const same = "a\uFFFDb";
    using map = await range.live();
    const expectKeys = (keys: string[], invalid: string[]): void => {
      expect([map.size, [...map.keys()], [...map.invalid.keys()]]).toEqual([keys.length, keys, invalid]);
    };
    await map.atLeast(await server.store.put(one!, "1"));
    expectKeys([], [same]);
    expect(map.invalid.get(same)).toMatchObject({ code: "EV_DECODE", key: same });
    expect([map.has(same), map.get(same)]).toEqual([false, undefined]);
    await map.atLeast(await server.store.put(other!, "1"));
    expectKeys([], [same]);
    await map.atLeast(await server.store.put(prefix + same, "proper"));
    expectKeys([same], [same]);
    expect(map.get(same)).toBe("proper");
    await map.atLeast(await server.store.put(prefix + same, "again"));
    expectKeys([same], [same]);
    await map.atLeast(await server.store.delete(one!));
    expectKeys([same], [same]);
    await map.atLeast(await server.store.delete(other!));
    expectKeys([same], []);
    await map.atLeast(await server.store.delete(prefix + same));
    expectKeys([], []);
  });

  test('"" without a namespace is every key there is, also those that are not UTF-8', async () => {
    await using keyspace = new EtcdKeyspace({ endpoints: server.etcd.endpoint });
    const prefix = freshPrefix();
    const range = keyspace.range("", text);
    using watcher = range.watch();
    const count = (await watcher.getBatch()).changes.length;
    for (const key of ["\0", `${prefix}a`, "\u{10ffff}", Uint8Array.of(0xff, 0xff)]) await server.store.put(key, "1");
    const { changes } = await synced(range);
    expect(changes.length).toBe(count + 4);
    expect((await watcher.getBatch()).changes.map(({ type, key }) => [type, key])).toEqual([
      ["put", "\0"],
      ["put", `${prefix}a`],
      ["put", "\u{10ffff}"],
      ["invalid", "\uFFFD\uFFFD"],
    ]);
    for (const key of ["\0", "\u{10ffff}", Uint8Array.of(0xff, 0xff)]) await server.store.delete(key);
    await synced(range);
    expect((await watcher.getBatch()).changes.map(({ type }) => type)).toEqual(["delete", "delete", "delete"]);
  });
});
