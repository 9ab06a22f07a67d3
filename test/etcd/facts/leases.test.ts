/** When a lease counts as lost, to the millisecond: the clock is the test's. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Client } from "../../../src/etcd/client.ts";
import { Leases } from "../../../src/etcd/lease.ts";
import type { LeaseKeepAliveRequest, LeaseKeepAliveResponse } from "../../../src/etcd/proto/generated/etcd.ts";
import type { StreamHandlers } from "../../../src/etcd/transport.ts";
import { text } from "../../../src/index.ts";
import { EtcdKeyspace } from "../../../src/etcd/index.ts";
import { etcdAvailable } from "../../support/etcd.ts";
import { freshPrefix, useEtcd } from "../store.ts";

const id = "9223372036854775807";

/** A member that grants a lease of `ttl` seconds after `grantMs`, and what is asked of it on the stream. */
function setUp(ttl: number, grantMs = 0) {
  const kept: string[] = [];
  let handlers!: StreamHandlers<LeaseKeepAliveResponse>;
  const transport = {
    duplex(_method: unknown, given: StreamHandlers<LeaseKeepAliveResponse>) {
      handlers = given;
      return { send: (request: LeaseKeepAliveRequest) => void kept.push(request.id!), close: () => {} };
    },
  };
  const client = {
    closed: new AbortController().signal,
    call: async () => {
      if (grantMs > 0) await new Promise((resolve) => setTimeout(resolve, grantMs));
      return { id, ttl };
    },
    access: async () => ({ transport, token: undefined }),
    leave: () => {},
  };
  const leases = new Leases(client as unknown as Client);
  const answer = (): void => handlers.message({ header: undefined, id, ttl });
  return { leases, kept, answer };
}

describe("a lease", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
  afterEach(() => void vi.useRealTimers());

  test("is lost a TTL after the last answered keepalive was sent, not after it was answered", async () => {
    const { leases, kept, answer } = setUp(30);
    const { lost } = await leases.grant(30_000, undefined);
    await vi.advanceTimersByTimeAsync(0);
    expect(kept, "kept alive as soon as there is a stream").toEqual([id]);
    answer();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(kept).toEqual([id, id]);
    // The answer to what was sent at 10 s comes at 14 s: the server may have begun to count at 10 s.
    await vi.advanceTimersByTimeAsync(4000);
    answer();
    await vi.advanceTimersByTimeAsync(25_999);
    expect(lost.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(lost.aborted).toBe(true);
    expect(lost.reason).toMatchObject({ code: "EV_LEASE_NOT_FOUND" });
  });

  test("is lost a TTL after its grant was asked for, where no keepalive is answered", async () => {
    const { leases } = setUp(30, 4000);
    const granting = leases.grant(30_000, undefined);
    await vi.advanceTimersByTimeAsync(4000);
    const { lost } = await granting;
    await vi.advanceTimersByTimeAsync(25_999);
    expect(lost.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(lost.aborted).toBe(true);
  });

  test("lives as long as the server says, which makes two seconds of one", async () => {
    const { leases, kept } = setUp(2);
    const { lost } = await leases.grant(1000, undefined);
    await vi.advanceTimersByTimeAsync(666);
    expect(kept).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1333);
    expect(lost.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(lost.aborted).toBe(true);
  });
});

describe.skipIf(!etcdAvailable)("a lease of a second in etcd", () => {
  const server = useEtcd();

  test("with an id that no number of JavaScript holds, is kept alive and bound under just that", async () => {
    const prefix = freshPrefix();
    await using keyspace = new EtcdKeyspace({ endpoints: server.etcd.endpoint, namespace: prefix });
    const lease = await keyspace.lease({ ttlMs: 1000 });
    expect(Number.isSafeInteger(Number(lease.id))).toBe(false);
    await keyspace.value("key", text).set("1", { lease });
    expect(await server.etcd.call("/v3/kv/range", { key: btoa(`${prefix}key`) })).toMatchObject({
      kvs: [{ lease: lease.id }],
    });
    const control = await server.store.grant(2);
    await vi.waitFor(async () => expect(await server.store.ttl(control)).toBe(-1), { timeout: 10_000 });
    expect(lease.lost.aborted).toBe(false);
    expect(await server.store.get(`${prefix}key`)).toMatchObject({ value: "1" });
    await lease.close();
    expect(await server.store.get(`${prefix}key`)).toBe(undefined);
  });
});
