import { getEventListeners } from "node:events";
import { afterEach, describe, expect, test, vi } from "vitest";
import { errorOf } from "../../../src/errors.ts";
import {
  announce,
  json,
  type Keyspace,
  type KeyValue,
  type Lease,
  map,
  MemoryKeyspace,
  MemoryValue,
  text,
  waitFor,
  type WriteOptions,
} from "../../../src/index.ts";
import { collect, TestKeyspace } from "../../../src/testing/index.ts";
import { codeOf, observe, rejection, turn, until } from "../../support/promises.ts";

const ttlMs = 5000;

const opened: MemoryKeyspace[] = [];
afterEach(async () => {
  for (const keyspace of opened.splice(0)) await keyspace.close();
});

/** A keyspace, its leases in the order of their grants, and the key, as somebody else sees it. */
function open() {
  const keyspace = new TestKeyspace();
  const other = new MemoryKeyspace({ sharing: keyspace });
  opened.push(keyspace, other);
  const leases: Lease[] = [];
  const leasing: Pick<Keyspace, "lease"> = {
    async lease(options) {
      const lease = await keyspace.lease(options);
      leases.push(lease);
      return lease;
    },
  };
  const stop = new AbortController();
  return {
    keyspace,
    leasing,
    leases,
    stop,
    options: { ttlMs, signal: stop.signal },
    key: keyspace.value("key", json<number>()),
    seen: other.value("key", json<number>()),
  };
}

function holds<T>(key: KeyValue<T>, wanted: T | undefined): Promise<unknown> {
  return waitFor(key, (value) => value === wanted);
}

/** A target whose writes are the test's to settle. */
function manual() {
  const writes: { readonly value: number; readonly lease?: Lease; end(): void; fail(error: unknown): void }[] = [];
  const set = (value: number, { lease }: WriteOptions): Promise<{ revision: number }> =>
    new Promise((resolve, fail) => {
      writes.push({ value, lease: lease!, end: () => resolve({ revision: 1 }), fail });
    });
  return { writes, set };
}

describe("announce", () => {
  test("keeps the newest value written under one lease; the key goes when it is aborted, and it rejects then", async () => {
    const { leasing, leases, key, seen, options, stop } = open();
    const value = new MemoryValue({ initial: 1 });
    const announcing = announce(leasing, key, value, options);
    await holds(seen, 1);
    value.set(2);
    await holds(seen, 2);
    const outcome = observe(announcing);
    expect(outcome().state).toBe("pending");
    stop.abort("enough");
    expect(await rejection(announcing)).toBe("enough");
    expect(await seen.read()).toBe(undefined);
    expect([leases.length, value.watcherCount]).toEqual([1, 0]);
  });

  test("writes one value at a time, and of those set meanwhile the newest", async () => {
    const { leasing, options, stop } = open();
    const { writes, set } = manual();
    const value = new MemoryValue({ initial: 1 });
    const announcing = announce(leasing, { set }, value, options);
    await until(() => writes.length === 1);
    for (const n of [2, 3, 4]) {
      value.set(n);
      await turn();
    }
    expect(writes).toHaveLength(1);
    writes[0]?.end();
    await until(() => writes.length === 2);
    expect(writes[1]?.value).toBe(4);
    writes[1]?.end();
    value.set(4);
    await until(() => writes.length === 3);
    stop.abort("enough");
    writes[2]?.fail("enough");
    expect(await rejection(announcing)).toBe("enough");
  });

  test("writes the value again under another lease when the lease is lost", async () => {
    const { keyspace, leasing, leases, key, seen, options } = open();
    void announce(leasing, key, new MemoryValue({ initial: 1 }), options);
    await holds(seen, 1);
    using told = collect(seen);
    await told.until((values) => values.length === 1);
    keyspace.expireLease(leases[0]!);
    expect(await told.until((values) => values.length === 3)).toEqual([1, undefined, 1]);
    keyspace.expireLease(leases[1]!);
    await told.until((values) => values.length === 5);
  });

  test("writes only the newest value when the store was out of reach for longer than the lease lives", async () => {
    const { keyspace, leasing, leases, key, seen, options } = open();
    const value = new MemoryValue({ initial: 1 });
    void announce(leasing, key, value, options);
    await holds(seen, 1);
    using told = collect(seen);
    await told.until((values) => values.length === 1);
    keyspace.goStale();
    keyspace.jump(ttlMs);
    await told.until((values) => values.length === 2);
    for (const n of [2, 3, 4]) {
      value.set(n);
      await turn();
    }
    keyspace.recover();
    expect(await told.until((values) => values.includes(4))).toEqual([1, undefined, 4]);
    expect(leases).toHaveLength(2);
  });

  test("writes only the newest value where the store is out of reach from the beginning", async () => {
    const { keyspace, key, seen, options } = open();
    const value = new MemoryValue({ initial: 1 });
    keyspace.goStale();
    void announce(keyspace, key, value, options);
    using told = collect(seen);
    for (const n of [2, 3]) {
      await turn();
      value.set(n);
    }
    await turn();
    keyspace.recover();
    expect(await told.until((values) => values.includes(3))).toEqual([3]);
  });

  test("takes another lease for one that is lost, also where the store still knows it", async () => {
    const { leasing, options, stop } = open();
    const { writes, set } = manual();
    const lost = AbortSignal.abort(errorOf("EV_LEASE_NOT_FOUND", "no answer in time", {}));
    let granted = 0;
    const first = { id: "1", lost, close: async () => {} } as Partial<Lease> as Lease;
    const lease: Keyspace["lease"] = (how) => (granted++ === 0 ? Promise.resolve(first) : leasing.lease(how));
    const announcing = announce({ lease }, { set }, new MemoryValue({ initial: 1 }), options);
    await until(() => writes.length === 1);
    writes[0]?.end();
    await until(() => writes.length === 2);
    expect([granted, writes[1]?.lease?.lost.aborted]).toEqual([2, false]);
    stop.abort("enough");
    writes[1]?.end();
    expect(await rejection(announcing)).toBe("enough");
  });

  test.for([true, false])(
    "tries again what failed with EV_UNAVAILABLE, under the same lease (made: %s)",
    async (applied) => {
      const { keyspace, leasing, leases, key, seen, options } = open();
      const value = new MemoryValue({ initial: 1 });
      void announce(leasing, key, value, options);
      await holds(seen, 1);
      const before = await seen.read();
      for (let i = 0; i < 3; i++) keyspace.failNextWrite({ applied });
      value.set(2);
      await holds(seen, 2);
      expect(await seen.read()).toMatchObject({ createRevision: before?.createRevision });
      expect(leases).toHaveLength(1);
    },
  );

  test("lets no write whose answer was lost come after the next", async () => {
    const { keyspace, leasing, key, seen, options } = open();
    const writes: (() => Promise<unknown>)[] = [];
    const recorded = (value: number, how: WriteOptions): Promise<{ revision: number }> => {
      writes.push(() => key.set(value, how));
      return key.set(value, how);
    };
    const value = new MemoryValue({ initial: 1 });
    void announce(leasing, { set: recorded }, value, options);
    await holds(seen, 1);
    keyspace.failNextWrite();
    value.set(2);
    await holds(seen, 2);
    const lost = writes[1]!;
    value.set(3);
    await holds(seen, 3);
    expect(await codeOf(lost())).toBe("EV_CONFLICT");
  });

  test("overwrites what is there when it begins, whatever it is", async () => {
    const { keyspace, leasing, leases, key, seen, options } = open();
    await keyspace.value("key", text).set("{");
    void announce(leasing, key, new MemoryValue({ initial: 1 }), options);
    await vi.waitFor(async () => expect((await seen.read())?.value).toBe(1));
    keyspace.expireLease(leases[0]!);
    expect(await seen.read()).toBe(undefined);
  });

  test("rejects with a conflict that is not about its key", async () => {
    const { leasing, options } = open();
    const { writes, set } = manual();
    const announcing = announce(leasing, { set }, new MemoryValue({ initial: 1 }), options);
    await until(() => writes.length === 1);
    writes[0]?.fail(errorOf("EV_CONFLICT", "another", { key: "a", currentRevision: 0 }));
    expect(await codeOf(announcing)).toBe("EV_CONFLICT");
  });

  test("takes what is newest by then when it tries again", async () => {
    const { leasing, options, stop } = open();
    const { writes, set } = manual();
    const value = new MemoryValue({ initial: 1 });
    void announce(leasing, { set }, value, options);
    await until(() => writes.length === 1);
    value.set(2);
    await turn();
    writes[0]?.fail(errorOf("EV_UNAVAILABLE", "lost", { maybeApplied: true }));
    await until(() => writes.length === 2);
    expect(writes[1]).toMatchObject({ value: 2, lease: writes[0]?.lease });
    stop.abort();
    writes[1]?.end();
  });

  test("takes another lease where the store does not know its own", async () => {
    const { keyspace, leasing, leases, key, seen, options } = open();
    keyspace.failNextWrite({ error: errorOf("EV_LEASE_NOT_FOUND", "no such lease", {}) });
    void announce(leasing, key, new MemoryValue({ initial: 1 }), options);
    await holds(seen, 1);
    expect(leases).toHaveLength(2);
    await expect(seen.set(2, { lease: leases[0]! })).rejects.toMatchObject({ code: "EV_LEASE_NOT_FOUND" });
  });

  test("rejects with what the store refuses, when the key is gone", async () => {
    const { keyspace, key, seen, options } = open();
    const value = new MemoryValue({ initial: 1 });
    const announcing = announce(keyspace, key, value, options);
    await holds(seen, 1);
    keyspace.failNextWrite({ error: errorOf("EV_PERMISSION_DENIED", "no", {}) });
    value.set(2);
    expect(await codeOf(announcing)).toBe("EV_PERMISSION_DENIED");
    expect([await seen.read(), value.watcherCount]).toEqual([undefined, 0]);
  });

  test("rejects with the first error of the value, when the key is gone", async () => {
    const { keyspace, key, seen, options } = open();
    const value = new MemoryValue({ initial: 1 });
    const broken = map(value, (n) => {
      if (n > 1) throw new Error("cannot");
      return n;
    });
    const announcing = announce(keyspace, key, broken, options);
    void announce(keyspace, keyspace.value("dropped", json<number>()), broken, options);
    await holds(seen, 1);
    value.set(2);
    expect(await rejection(announcing)).toEqual(new Error("cannot"));
    expect(await seen.read()).toBe(undefined);
  });

  test("leaves what somebody else makes of the key until there is another value", async () => {
    const { keyspace, key, seen, options } = open();
    const value = new MemoryValue({ initial: 1 });
    void announce(keyspace, key, value, options);
    await holds(seen, 1);
    await seen.set(7);
    await turn();
    expect((await seen.read())?.value).toBe(7);
    value.set(1);
    await holds(seen, 1);
  });

  test("goes on with the last value of one that has ended, also under another lease", async () => {
    const { keyspace, leasing, leases, key, seen, options, stop } = open();
    const value = new MemoryValue({ initial: 1 });
    const announcing = announce(leasing, key, value, options);
    value.set(2);
    value.close();
    using told = collect(seen);
    await told.until((values) => values.includes(2));
    keyspace.expireLease(leases[0]!);
    await told.until((values) => values.slice(values.indexOf(undefined)).includes(2));
    stop.abort("enough");
    expect(await rejection(announcing)).toBe("enough");
  });

  test("resolves where there never is a value", async () => {
    const { keyspace, key, seen, options } = open();
    const value = new MemoryValue<number>();
    const announcing = announce(keyspace, key, value, options);
    value.close();
    await announcing;
    expect(await seen.read()).toBe(undefined);
  });

  test("an abort ends it at any time: before it begins, in a write, between two attempts", async () => {
    const { keyspace, leasing, leases, key, seen, options, stop } = open();
    const value = new MemoryValue({ initial: 1 });
    expect(await rejection(announce(leasing, key, value, { signal: AbortSignal.abort("early") }))).toBe("early");
    expect(leases).toHaveLength(0);

    for (let i = 0; i < 100; i++) keyspace.failNextWrite();
    const retrying = new AbortController();
    const announcing = announce(leasing, key, value, { signal: retrying.signal });
    await until(() => leases.length === 1);
    await turn();
    retrying.abort("between");
    expect(await rejection(announcing)).toBe("between");
    expect(await codeOf(key.set(2, { lease: leases[0]! }))).toBe("EV_UNAVAILABLE");

    const { writes, set } = manual();
    const outcome = observe(announce(leasing, { set }, value, options));
    await until(() => writes.length === 1);
    stop.abort("late");
    await turn();
    expect(outcome().state).toBe("pending");
    writes[0]?.fail("late");
    await turn();
    expect(outcome()).toEqual({ state: "rejected", reason: "late" });
    expect([await seen.read(), value.watcherCount]).toEqual([undefined, 0]);
  });

  test("rejects with its reason where the lease cannot be revoked", async () => {
    const { options, stop } = open();
    const close = vi.fn<() => Promise<void>>(() => Promise.reject(new Error("out of reach")));
    const lease = { id: "1", lost: new AbortController().signal, close } as Partial<Lease> as Lease;
    const { writes, set } = manual();
    const announcing = announce({ lease: async () => lease }, { set }, new MemoryValue({ initial: 1 }), options);
    await until(() => writes.length === 1);
    writes[0]?.end();
    stop.abort("enough");
    expect(await rejection(announcing)).toBe("enough");
    expect(close).toHaveBeenCalledOnce();
  });

  test("may be dropped, and its keyspace closed", async () => {
    const { keyspace, key, seen } = open();
    const value = new MemoryValue({ initial: 1 });
    void announce(keyspace, key, value);
    const announcing = announce(keyspace, keyspace.value("other", json<number>()), value);
    await holds(seen, 1);
    await keyspace.close();
    expect(await seen.read()).toBe(undefined);
    value.set(2);
    expect(await codeOf(announcing)).toBe("EV_CLOSED");
    expect(value.watcherCount).toBe(0);
  });

  test("leaves no listeners behind, on its signal or that of a lease", async () => {
    const { leasing, leases, key, seen, options, stop } = open();
    const value = new MemoryValue({ initial: 0 });
    const announcing = announce(leasing, key, value, options);
    await holds(seen, 0);
    for (let n = 1; n <= 20; n++) {
      value.set(n);
      await holds(seen, n);
    }
    for (const signal of [stop.signal, leases[0]!.lost]) {
      expect(getEventListeners(signal, "abort").length).toBeLessThanOrEqual(1);
    }
    stop.abort("enough");
    await rejection(announcing);
    await vi.waitFor(() => {
      for (const signal of [stop.signal, leases[0]!.lost]) expect(getEventListeners(signal, "abort")).toEqual([]);
    });
  });

  test("refuses at the call what is none of its arguments", () => {
    const { keyspace, key } = open();
    const value = new MemoryValue({ initial: 1 });
    expect(() => announce({} as never, key, value)).toThrow(TypeError);
    expect(() => announce(undefined as never, key, value)).toThrow(TypeError);
    expect(() => announce(keyspace, "key" as never, value)).toThrow(TypeError);
    expect(() => announce(keyspace, key, 1 as never)).toThrow(TypeError);
    expect(() => announce(keyspace, key, value, { ttl: 1 } as never)).toThrow(TypeError);
    expect(() => announce(keyspace, key, value, { ttlMs: "1" as never })).toThrow(TypeError);
    expect(() => announce(keyspace, key, value, { ttlMs: 0 })).toThrow(RangeError);
  });
});
