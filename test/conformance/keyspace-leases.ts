/** Leases, as far as no time passes: what is bound to one goes with it. */
import { describe, expect, test } from "vitest";
import { type Lease, text } from "../../src/index.ts";
import { codeOf, rejection } from "../support/promises.ts";
import { type Backend, syncedRange } from "./keyspace-backend.ts";

export function describeLeases({ open }: Backend): void {
  describe("a lease", () => {
    test("has an id in decimal, which no number can hold, and is not lost", async () => {
      await using subject = await open();
      const leases = await Promise.all([1, 60_000, 59_999.5].map((ttlMs) => subject.keyspace.lease({ ttlMs })));
      for (const { id, lost } of leases) {
        expect(id).toMatch(/^[1-9]\d{0,18}$/);
        expect(BigInt(id)).toBeLessThan(2n ** 63n);
        expect(lost.aborted).toBe(false);
      }
      expect(new Set(leases.map(({ id }) => id)).size).toBe(3);
      for (const lease of leases) await lease.close();
    });

    test("binds the keys that are written with it; a write without one unbinds, one with another binds to that", async () => {
      await using subject = await open();
      const { keyspace, store } = subject;
      const lease = await keyspace.lease({ ttlMs: 60_000 });
      const other = await keyspace.lease({ ttlMs: 60_000 });
      const bound = keyspace.value("bound", text);
      const unbound = keyspace.value("unbound", text);
      const moved = keyspace.value("moved", text);
      const again = keyspace.value("again", text);
      await bound.set("1", { lease });
      await unbound.set("1", { lease, ifRevision: 0 });
      await moved.set("1", { lease });
      await keyspace.range("", text).set("of-range", "1", { lease });
      await keyspace.value("updated", text).update(() => "1", { lease });
      await again.set("1", { lease });
      await again.delete();
      await again.set("2");
      await unbound.set("2");
      await moved.set("2", { lease: other });
      expect((await store.all()).size).toBe(6);
      await lease.close();
      expect([...(await store.all()).keys()].sort()).toEqual(["again", "moved", "unbound"]);
      await other.close();
      expect([...(await store.all()).keys()].sort()).toEqual(["again", "unbound"]);
    });

    test("is revoked when it is closed: its keys go at once, in one batch, and it is not lost", async () => {
      await using subject = await open();
      const { keyspace, store } = subject;
      const lease = await keyspace.lease({ ttlMs: 60_000 });
      await keyspace.value("a", text).set("1", { lease });
      await keyspace.value("b", text).set("1", { lease });
      await keyspace.value("c", text).set("1");
      using watcher = keyspace.range("", text).watch();
      await watcher.getBatch();
      await Promise.all([lease.close(), lease.close()]);
      expect([...(await store.all()).keys()]).toEqual(["c"]);
      const { type, revision, changes } = await watcher.getBatch();
      expect([type, revision]).toEqual(["update", await store.revision()]);
      expect(new Set(changes)).toEqual(new Set(["a", "b"].map((key) => ({ type: "delete", key, revision }))));
      await lease.close();
      // It was given up.
      expect(lease.lost.aborted).toBe(false);
    });

    test("that is none any more refuses writes with EV_LEASE_NOT_FOUND, and nothing is written", async () => {
      await using subject = await open();
      const { keyspace, store } = subject;
      const value = keyspace.value("key", text);
      const closed = await keyspace.lease({ ttlMs: 60_000 });
      await value.set("1", { lease: closed });
      await closed.close();
      const never = { id: "7" } as Lease;
      for (const lease of [closed, never]) {
        for (const write of [
          () => value.set("1", { lease }),
          () => value.set("1", { lease, ifRevision: 0 }),
          () => value.update(() => "1", { lease }),
          () => keyspace.range("", text).set("key", "1", { lease }),
        ]) {
          expect(await rejection(write())).toMatchObject({ code: "EV_LEASE_NOT_FOUND", key: "key" });
        }
        // A condition that does not hold is told first.
        expect(await codeOf(value.set("1", { lease, ifRevision: 7 }))).toBe("EV_CONFLICT");
      }
      expect((await store.all()).size).toBe(0);
    });

    test("may be written with by whoever knows its id", async () => {
      await using subject = await open();
      const other = subject.another();
      const lease = await subject.keyspace.lease({ ttlMs: 60_000 });
      await other.value("theirs", text).set("1", { lease });
      const range = subject.keyspace.range("", text);
      expect((await range.read()).changes).toHaveLength(1);
      await lease.close();
      expect((await syncedRange(range)).changes).toEqual([]);
    });

    test("K12 clean: closing the keyspace revokes it, and no other keyspace's", async () => {
      await using subject = await open();
      const { store } = subject;
      const closing = subject.another();
      const staying = await subject.keyspace.lease({ ttlMs: 60_000 });
      await subject.keyspace.value("stays", text).set("1", { lease: staying });
      const leases = await Promise.all([closing.lease({ ttlMs: 60_000 }), closing.lease({ ttlMs: 60_000 })]);
      for (const [i, lease] of leases.entries()) await closing.value(`${i}`, text).set("1", { lease });
      await closing.close();
      expect([...(await store.all()).keys()]).toEqual(["stays"]);
      for (const lease of leases) {
        await lease.close();
        // Who holds it is told, as it may be somebody else who closed the keyspace.
        expect(lease.lost.reason).toMatchObject({ code: "EV_CLOSED" });
      }
      expect(await codeOf(closing.lease({ ttlMs: 60_000 }))).toBe("EV_CLOSED");
      expect(staying.lost.aborted).toBe(false);
    });

    test("is granted no more from when the keyspace is being closed, and nothing is read or written", async () => {
      await using subject = await open();
      const keyspace = subject.another();
      const value = keyspace.value("late", text);
      await keyspace.lease({ ttlMs: 60_000 });
      const closing = keyspace.close();
      const late = [
        value.set("1"),
        value.update(() => "1"),
        value.delete(),
        value.read(),
        keyspace.lease({ ttlMs: 1000 }),
      ];
      for (const call of late) expect(await codeOf(call)).toBe("EV_CLOSED");
      await closing;
      expect(await subject.store.get("late")).toBeUndefined();
    });

    test("whose closing is under way is waited for where the keyspace is closed meanwhile", async () => {
      await using subject = await open();
      const closing = subject.another();
      const lease = await closing.lease({ ttlMs: 60_000 });
      await closing.value("held", text).set("1", { lease });
      await Promise.all([lease.close(), closing.close()]);
      expect((await subject.store.all()).size).toBe(0);
    });
  });
}
