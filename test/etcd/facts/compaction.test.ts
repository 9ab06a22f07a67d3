import { describe, expect, test, vi } from "vitest";
import { text } from "../../../src/index.ts";
import { EtcdKeyspace } from "../../../src/etcd/index.ts";
import { etcdAvailable } from "../../support/etcd.ts";
import { startProxy } from "../../support/proxy.ts";
import { freshPrefix, useEtcd } from "../store.ts";

describe.skipIf(!etcdAvailable)("a compaction in etcd", () => {
  const server = useEtcd();

  test("K5 of what hundreds of watches on one stream know, while they are cut off, leaves none of them with a gap", async () => {
    const count = 300;
    const prefix = freshPrefix();
    await using proxy = await startProxy(server.etcd.port);
    await using keyspace = new EtcdKeyspace({ endpoints: proxy.endpoint, namespace: prefix, staleAfterMs: 600_000 });
    const keys = Array.from({ length: count }, (_unused, i) => `${i}`);
    for (let i = 0; i < count; i += 100) {
      await server.store.txn(keys.slice(i, i + 100).map((key) => ({ key: prefix + key, value: "1" })));
    }
    const watchers = keys.map((key) => keyspace.value(key, text, { default: "gone" }).watch());
    for (const watcher of watchers) expect(await watcher.get()).toBe("1");
    // Every other one is deleted, the others are written; then all of it can be had no more.
    await vi.waitFor(async () => expect(await server.store.watchers()).toBe(count));
    await proxy.cut();
    for (let i = 0; i < count; i += 100) {
      await server.store.txn(
        keys
          .slice(i, i + 100)
          .map((key, j) => (j % 2 === 0 ? { key: prefix + key } : { key: prefix + key, value: "2" })),
      );
    }
    await server.store.put("elsewhere", "1");
    await server.store.compact();
    await proxy.heal();
    const signal = AbortSignal.timeout(10_000);
    const told = await Promise.all(watchers.map((watcher) => watcher.get({ signal }).catch(() => "a gap")));
    expect(told).toEqual(keys.map((_key, i) => (i % 2 === 0 ? "gone" : "2")));
    // And each is watched again: no create was lost among the cancels, which 3.5 repeats.
    await server.store.txn(keys.slice(0, 100).map((key) => ({ key: prefix + key, value: "3" })));
    for (const watcher of watchers.slice(0, 100)) expect(await watcher.get({ signal })).toBe("3");
  });
});
