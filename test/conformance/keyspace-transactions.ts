/** Transactions: all conditions and all writes at once, or nothing. */
import { describe, expect, test } from "vitest";
import {
  bytes,
  ifRevision,
  isEventValueError,
  json,
  put,
  remove,
  text,
  type TransactionOperation,
} from "../../src/index.ts";
import { Replica } from "../support/replica.ts";
import { codeOf, rejection } from "../support/promises.ts";
import { Random, seed } from "../support/seed.ts";
import { type Backend, backlog, type Held, syncedRange } from "./keyspace-backend.ts";

export function describeTransactions({ open }: Backend): void {
  describe(`a transaction (seed ${seed})`, () => {
    test("K4 whole transactions: is one revision, and one batch, whatever it does", async () => {
      await using subject = await open();
      const { keyspace, store } = subject;
      const [a, b, c] = [keyspace.value("a", text), keyspace.value("b", json<number>()), keyspace.value("c", bytes)];
      const before = await a.set("1");
      const range = keyspace.range("", text);
      using watcher = range.watch();
      using single = b.updates.watch();
      expect(await watcher.getBatch()).toMatchObject({ type: "snapshot", changes: [{ key: "a" }] });
      expect(await codeOf(single.get(backlog))).toBe("EV_BACKLOG_DONE");
      const { revision } = await keyspace.transaction([
        remove(a),
        put(b, 2),
        ifRevision(c, 0),
        put(c, Uint8Array.of(0x33)),
        ifRevision(a, before.revision),
      ]);
      expect(revision).toBe(before.revision + 1);
      expect(await store.all()).toEqual(
        new Map([
          ["b", { value: "2", revision, createRevision: revision }],
          ["c", { value: "3", revision, createRevision: revision }],
        ]),
      );
      const batch = await watcher.getBatch();
      expect(batch).toMatchObject({ type: "update", revision });
      expect(new Set(batch.changes)).toEqual(
        new Set([
          { type: "delete", key: "a", revision },
          { type: "put", key: "b", value: "2", revision, createRevision: revision },
          { type: "put", key: "c", value: "3", revision, createRevision: revision },
        ]),
      );
      expect(await single.get()).toEqual({ type: "put", key: "b", value: 2, revision, createRevision: revision });
      expect(await b.read()).toEqual({ value: 2, revision, createRevision: revision });
    });

    test("that does not happen changes nothing, and is in conflict for the first key that is not as expected", async () => {
      await using subject = await open();
      const { keyspace, store } = subject;
      const [a, b, c] = [keyspace.value("a", text), keyspace.value("b", text), keyspace.value("c", text)];
      const first = (await a.set("1")).revision;
      const second = (await b.set("1")).revision;
      const held = await store.all();
      using watcher = keyspace.range("", text).watch();
      await watcher.getBatch();
      const failing: [TransactionOperation[], string, number][] = [
        [[ifRevision(a, second)], "a", first],
        [[ifRevision(a, first), ifRevision(b, first)], "b", second],
        [[ifRevision(c, first), ifRevision(b, 0)], "c", 0],
        [[ifRevision(b, 0), ifRevision(c, first)], "b", second],
        [[ifRevision(a, first), ifRevision(b, second), ifRevision(c, second)], "c", 0],
        [[ifRevision(a, 0), ifRevision(a, first)], "a", first],
      ];
      for (const [conditions, key, currentRevision] of failing) {
        const error = await rejection(keyspace.transaction([put(a, "x"), remove(b), put(c, "x"), ...conditions]));
        if (!isEventValueError(error, "EV_CONFLICT")) throw error;
        expect([error.key, error.currentRevision]).toEqual([key, currentRevision]);
        expect(error.message).toContain(JSON.stringify(key));
      }
      expect(await store.all()).toEqual(held);
      expect(await store.revision()).toBe(second);
      await syncedRange(keyspace.range("", text));
      expect(await codeOf(watcher.getBatch(backlog))).toBe("EV_BACKLOG_DONE");
      // The same, if it holds.
      await keyspace.transaction([put(a, "x"), remove(b), put(c, "x"), ifRevision(a, first), ifRevision(b, second)]);
      expect([...(await store.all()).keys()].sort()).toEqual(["a", "c"]);
    });

    test("of nothing, or of conditions alone, tells whether they hold, and the store's revision", async () => {
      await using subject = await open();
      const { keyspace, store } = subject;
      const value = keyspace.value("a", text);
      const { revision } = await value.set("1");
      const latest = await store.put("b", "1");
      expect(await keyspace.transaction([])).toEqual({ revision: latest });
      expect(await keyspace.transaction([ifRevision(value, revision)])).toEqual({ revision: latest });
      expect(await codeOf(keyspace.transaction([ifRevision(value, 0)]))).toBe("EV_CONFLICT");
      // Nor does the removal of what is not there write anything.
      expect(await keyspace.transaction([remove(keyspace.value("c", text))])).toEqual({ revision: latest });
      expect(await store.revision()).toBe(latest);
    });

    test("of 128 operations is made, one of more is refused whole", async () => {
      await using subject = await open();
      const { keyspace, store } = subject;
      const operations = Array.from({ length: 129 }, (_, i) => put(keyspace.value(`${i}`, text), "1"));
      expect(await codeOf(keyspace.transaction(operations))).toBe("EV_RESOURCE_EXHAUSTED");
      const conditions = Array.from({ length: 129 }, (_, i) => ifRevision(keyspace.value(`${i}`, text), 0));
      expect(await codeOf(keyspace.transaction(conditions))).toBe("EV_RESOURCE_EXHAUSTED");
      const large = Array.from({ length: 4 }, (_, i) => put(keyspace.value(`${i}`, bytes), new Uint8Array(500_000)));
      expect(await codeOf(keyspace.transaction(large))).toBe("EV_RESOURCE_EXHAUSTED");
      expect((await store.all()).size).toBe(0);
      const { revision } = await keyspace.transaction([...operations.slice(1), ...conditions.slice(1)]);
      const held = [...(await store.all()).values()];
      expect(held).toEqual(
        Array.from({ length: 128 }, (): Held => ({ value: "1", revision, createRevision: revision })),
      );
    });

    test("binds the keys it writes to leases, and unbinds them", async () => {
      await using subject = await open();
      const { keyspace, store } = subject;
      const [a, b] = [keyspace.value("a", text), keyspace.value("b", text)];
      const lease = await keyspace.lease({ ttlMs: 60_000 });
      await b.set("1", { lease });
      await keyspace.transaction([put(a, "1", { lease }), put(b, "2")]);
      await lease.close();
      expect([...(await store.all()).keys()]).toEqual(["b"]);
      const error = await rejection(keyspace.transaction([put(b, "3"), put(a, "1", { lease })]));
      expect(error).toMatchObject({ code: "EV_LEASE_NOT_FOUND" });
      expect([...(await store.all())]).toMatchObject([["b", { value: "2" }]]);
    });

    test("encodes its values when its steps are made", async () => {
      await using subject = await open();
      const { keyspace, store } = subject;
      const value = { list: [1] };
      const step = put(keyspace.value("a", json<{ list: number[] }>()), value);
      value.list.push(2);
      await keyspace.transaction([step]);
      expect(await store.get("a")).toMatchObject({ value: '{"list":[1]}' });
      // A step may be used again.
      await keyspace.transaction([step]);
      expect(step).toMatchObject({ type: "put", key: "a" });
    });

    test("K4 whole transactions: of many clients that move sums between keys, no batch splits one", async () => {
      await using subject = await open();
      const { keyspace } = subject;
      const accounts = 6;
      const keyOf = (account: number): string => `accounts/${account}`;
      const keyspaces = [keyspace, subject.another(), subject.another()];
      await keyspace.transaction(
        Array.from({ length: accounts }, (_, i) => put(keyspace.value(keyOf(i), json<number>()), 100)),
      );
      const range = keyspace.range("accounts/", text);
      const consumers = [0, 1, 2].map(async (pauses) => {
        using watcher = range.watch();
        const replica = new Replica();
        let batches = 0;
        for (; !replica.map.has("accounts/end"); batches++) {
          await replica.getBatch(watcher);
          const sum = Object.values(replica.values()).reduce((total, value) => total + Number(value), 0);
          expect(sum).toBe(accounts * 100);
          for (let i = 0; i < pauses; i++) await syncedRange(range);
        }
        return { batches, values: replica.values() };
      });
      let conflicts = 0;
      let moved = 0;
      await Promise.all(
        keyspaces.map(async (own, client) => {
          const random = new Random(seed + client);
          for (let i = 0; i < 60; i++) {
            const from = own.value(keyOf(random.below(accounts)), json<number>(), { default: 0 });
            const to = own.value(keyOf(random.below(accounts)), json<number>(), { default: 0 });
            if (from.key === to.key) continue;
            const [source, target] = [await from.read(), await to.read()];
            const amount = random.below(3) === 0 ? (source?.value ?? 0) : Math.min(source?.value ?? 0, 7);
            const left = (source?.value ?? 0) - amount;
            try {
              await own.transaction([
                ifRevision(from, source?.revision ?? 0),
                ifRevision(to, target?.revision ?? 0),
                // An account that holds nothing is no key.
                left === 0 ? remove(from) : put(from, left),
                put(to, (target?.value ?? 0) + amount),
              ]);
              moved++;
            } catch (error) {
              if (!isEventValueError(error, "EV_CONFLICT")) throw error;
              conflicts++;
            }
          }
        }),
      );
      await subject.store.put("accounts/end", "0");
      expect(moved).toBeGreaterThan(20);
      // It bit: they were in each other's way.
      expect(conflicts).toBeGreaterThan(0);
      const held = await subject.store.all();
      for (const { batches, values } of await Promise.all(consumers)) {
        expect(batches).toBeGreaterThan(1);
        expect(values).toEqual(Object.fromEntries([...held].map(([key, { value }]) => [key, value])));
      }
    });
  });
}
