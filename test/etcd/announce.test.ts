/** Keys that are announced, and tasks of leaders, in an etcd that is cut off for longer than a lease lives. */
import { describe, expect, test } from "vitest";
import { announce, json, lead, type LeadContext, type Leadership, MemoryValue, put } from "../../src/index.ts";
import { EtcdKeyspace } from "../../src/etcd/index.ts";
import { collect } from "../../src/testing/index.ts";
import { etcdAvailable } from "../support/etcd.ts";
import { codeOf, rejection, until } from "../support/promises.ts";
import { startProxy } from "../support/proxy.ts";
import { manualTask } from "../unit/operators/tasks.ts";
import { freshPrefix, useEtcd } from "./store.ts";

/** The shortest that etcd grants. */
const ttlMs = 2000;

describe.skipIf(!etcdAvailable).concurrent("in etcd", () => {
  const server = useEtcd();

  test("what is announced goes with its lease, comes back with the newest value, and is taken away at the end", async () => {
    const namespace = freshPrefix();
    await using proxy = await startProxy(server.etcd.port);
    await using keyspace = new EtcdKeyspace({ endpoints: proxy.endpoint, namespace });
    await using other = new EtcdKeyspace({ endpoints: server.etcd.endpoint, namespace });
    const value = new MemoryValue({ initial: 1 });
    const stop = new AbortController();
    const announcing = announce(keyspace, keyspace.value("key", json<number>()), value, { ttlMs, signal: stop.signal });
    using told = collect(other.value("key", json<number>()));
    await told.until((values) => values.length === 1);
    await proxy.cut();
    value.set(2);
    value.set(3);
    await told.until((values) => values.length === 2, { timeoutMs: 30_000 });
    await proxy.heal();
    expect(await told.until((values) => values.includes(3), { timeoutMs: 30_000 })).toEqual([1, undefined, 3]);
    stop.abort("enough");
    expect(await rejection(announcing)).toBe("enough");
    expect(await other.value("key", json<number>()).read()).toBe(undefined);
  });

  test("a task is aborted when its leader is cut off, refused by the fence, and runs again with the next leadership", async () => {
    const namespace = freshPrefix();
    await using proxy = await startProxy(server.etcd.port);
    await using keyspace = new EtcdKeyspace({ endpoints: proxy.endpoint, namespace });
    await using other = new EtcdKeyspace({ endpoints: server.etcd.endpoint, namespace });
    const { task, runs } = manualTask<Leadership, LeadContext>();
    const leading = lead(keyspace.election("leader"), "me", task, { ttlMs });
    await until(() => runs.length === 1);
    await proxy.cut();
    await until(() => runs[0]!.context.signal.aborted);
    const next = await other.election("leader").campaign("other");
    await proxy.heal();
    const late = keyspace.transaction([runs[0]!.value.fence, put(keyspace.value("log", json<number>()), 1)]);
    expect(await codeOf(late)).toBe("EV_CONFLICT");
    runs[0]?.fail(await rejection(late));
    await next.resign();
    await until(() => runs.length === 2);
    expect(runs[1]!.value.revision).toBeGreaterThan(next.revision);
    runs[1]?.end();
    await leading;
    expect((await other.range("", json()).read()).changes).toEqual([]);
  });
});
