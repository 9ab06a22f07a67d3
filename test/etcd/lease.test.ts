/** Leases in etcd: what time and the network do to them. See also test/conformance. */
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test, vi } from "vitest";
import { text } from "../../src/index.ts";
import { EtcdKeyspace } from "../../src/etcd/index.ts";
import { etcdAvailable } from "../support/etcd.ts";
import { codeOf, observe, rejection } from "../support/promises.ts";
import { startProxy } from "../support/proxy.ts";
import { startLine } from "./line.ts";
import { freshPrefix, useEtcd } from "./store.ts";

/** The shortest that etcd grants. */
const shortMs = 2000;

/** Resolves when `signal` is aborted. */
function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

describe.skipIf(!etcdAvailable).concurrent("a lease in etcd", () => {
  const server = useEtcd();

  function setUp(options: object = {}): { keyspace: EtcdKeyspace; prefix: string } {
    const namespace = freshPrefix();
    return {
      keyspace: new EtcdKeyspace({ endpoints: server.etcd.endpoint, namespace, ...options }),
      prefix: namespace,
    };
  }

  test("lives as long as was asked for, in whole seconds", async () => {
    const { keyspace } = setUp();
    await using _ = keyspace;
    for (const [ttlMs, seconds] of [
      [60_000, 60],
      [60_001, 61],
      [59_999.5, 60],
    ] as const) {
      await using lease = await keyspace.lease({ ttlMs });
      expect(await server.store.ttl(lease.id)).toBeGreaterThanOrEqual(seconds - 1);
      expect(await server.store.ttl(lease.id)).toBeLessThanOrEqual(seconds);
    }
  });

  test("is kept alive beyond its time, with the keys bound to it", async () => {
    const { keyspace, prefix } = setUp();
    await using _ = keyspace;
    await using lease = await keyspace.lease({ ttlMs: shortMs });
    await keyspace.value("mine", text).set("1", { lease });
    // One that nobody keeps alive, and that is granted later.
    const control = await server.store.grant(shortMs / 1000);
    await server.store.put(`${prefix}control`, "1", control);
    using watcher = keyspace.value("control", text).watch();
    expect(await watcher.get()).toBe("1");
    expect(await watcher.get()).toBe(undefined);
    expect(await server.store.get(`${prefix}mine`)).toMatchObject({ value: "1" });
    expect(await server.store.ttl(lease.id)).toBeGreaterThan(0);
    expect(lease.lost.aborted).toBe(false);
  });

  test("is revoked in the store when it is closed, when its keyspace is, or both at once", async () => {
    const { keyspace } = setUp();
    const leases = await Promise.all([60_000, 60_000, 60_000].map((ttlMs) => keyspace.lease({ ttlMs })));
    const [closed, closing] = leases;
    await closed!.close();
    expect(await server.store.ttl(closed!.id)).toBe(-1);
    await Promise.all([closing!.close(), keyspace.close()]);
    for (const { id } of leases) expect(await server.store.ttl(id)).toBe(-1);
  });

  test("is lost when somebody else revokes it, and closing it then is nothing", async () => {
    const { keyspace } = setUp();
    await using _ = keyspace;
    const lease = await keyspace.lease({ ttlMs: shortMs });
    await server.store.revoke(lease.id);
    await aborted(lease.lost);
    expect(lease.lost.reason).toMatchObject({ code: "EV_LEASE_NOT_FOUND" });
    expect((lease.lost.reason as Error).message).toContain(lease.id);
    await lease.close();
    expect(await codeOf(keyspace.value("key", text).set("1", { lease }))).toBe("EV_LEASE_NOT_FOUND");
  });

  test("is lost, when the store cannot be reached, before the store can think so", async () => {
    await using proxy = await startProxy(server.etcd.port);
    const { keyspace, prefix } = setUp({ endpoints: proxy.endpoint });
    await using _ = keyspace;
    const lease = await keyspace.lease({ ttlMs: shortMs });
    await keyspace.value("key", text).set("1", { lease });
    // It has been kept alive: one that was not has expired.
    const control = await server.store.grant(shortMs / 1000);
    await vi.waitFor(async () => expect(await server.store.ttl(control)).toBe(-1), { timeout: 10_000 });
    proxy.blackhole();
    const began = performance.now();
    await aborted(lease.lost);
    const took = performance.now() - began;
    expect(lease.lost.reason).toMatchObject({ code: "EV_LEASE_NOT_FOUND" });
    expect(took).toBeLessThan(shortMs + 100);
    // The store began to count later than the lease did.
    expect(await server.store.get(`${prefix}key`)).toMatchObject({ value: "1" });
    await vi.waitFor(async () => expect(await server.store.get(`${prefix}key`)).toBe(undefined), { timeout: 10_000 });
  });

  test("survives lost connections that are shorter than its time", async () => {
    await using proxy = await startProxy(server.etcd.port);
    const { keyspace, prefix } = setUp({ endpoints: proxy.endpoint });
    await using _ = keyspace;
    await using lease = await keyspace.lease({ ttlMs: shortMs });
    await keyspace.value("key", text).set("1", { lease });
    const control = await server.store.grant(shortMs / 1000);
    await server.store.put(`${prefix}control`, "1", control);
    for (let i = 0; (await server.store.get(`${prefix}control`)) !== undefined; i++) {
      await proxy.cut();
      await delay(50);
      await proxy.heal();
      await delay(250);
      expect(i).toBeLessThan(60);
    }
    expect(await server.store.get(`${prefix}key`)).toMatchObject({ value: "1" });
    expect(lease.lost.aborted).toBe(false);
    expect(proxy.accepted).toBeGreaterThan(4);
  });

  test("moves to another member when the one it is kept alive on is silent", async () => {
    await using one = await startProxy(server.etcd.port);
    await using other = await startProxy(server.etcd.port);
    const { keyspace, prefix } = setUp({ endpoints: [one.endpoint, other.endpoint] });
    await using _ = keyspace;
    await using lease = await keyspace.lease({ ttlMs: 3000 });
    await keyspace.value("key", text).set("1", { lease });
    const used = one.connections > 0 ? one : other;
    await vi.waitFor(() => expect(used.connections).toBe(2));
    used.blackhole();
    const control = await server.store.grant(4);
    await server.store.put(`${prefix}control`, "1", control);
    await vi.waitFor(async () => expect(await server.store.get(`${prefix}control`)).toBe(undefined), {
      timeout: 10_000,
    });
    expect(lease.lost.aborted).toBe(false);
    expect(await server.store.get(`${prefix}key`)).toMatchObject({ value: "1" });
  });

  test("many are kept alive on one stream", async () => {
    const { keyspace } = setUp();
    await using _ = keyspace;
    const streams = (): Promise<number> => server.store.calls("LeaseKeepAlive");
    const before = await streams();
    const leases = await Promise.all(Array.from({ length: 20 }, () => keyspace.lease({ ttlMs: 60_000 })));
    expect(new Set(leases.map(({ id }) => id)).size).toBe(20);
    await vi.waitFor(async () => expect(await streams()).toBeGreaterThan(before));
    await Promise.all(leases.map((lease) => lease.close()));
    for (const { id } of leases) expect(await server.store.ttl(id)).toBe(-1);
  });

  test("that cannot be revoked any more is closed when its time is over", async () => {
    await using proxy = await startProxy(server.etcd.port);
    const { keyspace } = setUp({ endpoints: proxy.endpoint });
    await using _ = keyspace;
    const lease = await keyspace.lease({ ttlMs: 2000 });
    await proxy.cut();
    // Without an end of its own it would try for as long as the proxy is cut.
    await lease.close();
    await vi.waitFor(async () => expect(await server.store.ttl(lease.id)).toBe(-1), 10_000);
  });

  // Alone, since it counts the leases that the server grants.
  test.sequential("that is granted while the keyspace closes is refused, and revoked", async () => {
    await using line = await startLine(server.etcd.port);
    const { keyspace } = setUp({ endpoints: line.endpoint });
    const first = await keyspace.lease({ ttlMs: 60_000 });
    await vi.waitFor(() => expect(line.connections).toBe(2));
    line.hold(0);
    // The server carries out what it cannot answer.
    const leases = (): Promise<number> => server.store.metric("etcd_debugging_lease_granted_total");
    const before = await leases();
    const granting = codeOf(keyspace.lease({ ttlMs: 61_000 }));
    await vi.waitFor(async () => expect(await leases()).toBe(before + 1));
    const closing = keyspace.close();
    await vi.waitFor(async () => expect(await server.store.ttl(first.id)).toBe(-1));
    line.release(0);
    expect(await granting).toBe("EV_CLOSED");
    await closing;
  });

  test("closing the keyspace does not wait for long where the store cannot be reached", async () => {
    await using proxy = await startProxy(server.etcd.port);
    const { keyspace } = setUp({ endpoints: proxy.endpoint });
    const lease = await keyspace.lease({ ttlMs: 60_000 });
    await proxy.cut();
    const began = performance.now();
    await keyspace.close();
    expect(performance.now() - began).toBeLessThan(4000);
    // It ends by itself; nobody has to be told.
    await lease.close().catch(() => {});
    await server.store.revoke(lease.id);
  });

  test("whose grant is aborted rejects with the reason", async () => {
    await using proxy = await startProxy(server.etcd.port);
    await proxy.cut();
    const { keyspace } = setUp({ endpoints: proxy.endpoint });
    await using _ = keyspace;
    const controller = new AbortController();
    const granting = keyspace.lease({ ttlMs: 60_000, signal: controller.signal });
    const outcome = observe(granting);
    await delay(0);
    expect(outcome()).toEqual({ state: "pending" });
    controller.abort("enough");
    expect(await rejection(granting)).toBe("enough");
    const later = keyspace.lease({ ttlMs: 60_000 });
    await proxy.heal();
    expect((await later).lost.aborted).toBe(false);
  });
});
