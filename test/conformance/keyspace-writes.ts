/** Writes of single keys: by themselves, on a condition, and by what they hold. */
import { describe, expect, test } from "vitest";
import { bytes, type Codec, isEventValueError, json, put, text } from "../../src/index.ts";
import { codeOf, observe, rejection, turn } from "../support/promises.ts";
import type { Backend } from "./keyspace-backend.ts";

export function describeWrites({ open }: Backend): void {
  describe("writing", () => {
    describe("a key", () => {
      test("set, update and delete are answered with the store's revision of the write", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const value = keyspace.value("key", json<number>());
        const set = await value.set(1);
        expect(await store.get("key")).toEqual({
          value: "1",
          revision: set.revision,
          createRevision: set.revision,
        });
        const updated = await value.update((current) => current! + 1);
        expect(await store.get("key")).toEqual({
          value: "2",
          revision: updated.revision,
          createRevision: set.revision,
        });
        const deleted = await value.delete();
        expect(deleted).toEqual({ revision: updated.revision + 1, deleted: true });
        expect(await store.get("key")).toBe(undefined);
        expect(await value.delete()).toEqual({ revision: deleted.revision, deleted: false });
      });

      test("is written in the order of their calls by calls that nobody waits for, however they write", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const value = keyspace.value("key", json<number>(), { default: 0 });
        const same = keyspace.range("k", json<number>());
        const sets = Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? value.set(i) : same.set("key", i)));
        const revisions = (await Promise.all(sets)).map(({ revision }) => revision);
        expect(revisions).toEqual([...revisions].sort((a, b) => a - b));
        expect(await store.get("key")).toMatchObject({ value: "19" });

        const abort = new AbortController();
        const mixed = [
          value.set(100),
          value.update((n) => n + 1),
          keyspace.transaction([put(value, 200), put(keyspace.value("other", text), "x")]),
          value.set(300, { signal: abort.signal }).catch((reason: unknown) => reason),
          value.update((n) => n + 1),
          value.delete(),
          value.update((n) => n + 7),
        ];
        abort.abort("given up");
        const [, , , given] = await Promise.all(mixed);
        expect(given).toBe("given up");
        expect(await store.get("key")).toMatchObject({ value: "7" });
        void value.set(1);
        expect(await value.delete()).toMatchObject({ deleted: true });
        expect(await store.get("key")).toBeUndefined();
      });

      test("of a range is written as a key of its own", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const range = keyspace.range("in/", json<number>());
        const { revision } = await range.set("in/a", 1);
        expect(await store.get("in/a")).toMatchObject({ value: "1", revision });
        await range.update("in/a", (current) => (current ?? 0) + 1);
        await range.update("in/b", (current) => (current ?? 10) + 1);
        expect((await range.read()).changes).toMatchObject([
          { key: "in/a", value: 2 },
          { key: "in/b", value: 11 },
        ]);
        expect(await range.delete("in/a")).toMatchObject({ deleted: true });
        expect(await codeOf(range.set("in/b", 1, { ifRevision: 0 }))).toBe("EV_CONFLICT");
        expect(await codeOf(range.delete("in/b", { ifRevision: revision }))).toBe("EV_CONFLICT");
        for (const key of ["a", "in", "in0", "in/".slice(0, 2)]) {
          expect(() => range.set(key, 1)).toThrow(RangeError);
          expect(() => range.update(key, () => 1)).toThrow(RangeError);
          expect(() => range.delete(key)).toThrow(RangeError);
        }
        expect(await store.all()).toHaveProperty("size", 1);
      });

      test("values of any bytes, up to what the store takes", async () => {
        await using subject = await open();
        const { keyspace } = subject;
        const value = keyspace.value("key", bytes);
        const every = Uint8Array.from({ length: 256 }, (_unused, i) => i);
        await value.set(every);
        expect((await value.read())?.value).toEqual(every);
        await value.set(new Uint8Array(1_500_000));
        expect((await value.read())?.value).toHaveLength(1_500_000);
        expect(await codeOf(value.set(new Uint8Array(1_600_000)))).toBe("EV_RESOURCE_EXHAUSTED");
        expect((await value.read())?.value).toHaveLength(1_500_000);
      });
    });

    describe("on a condition", () => {
      test("ifRevision: the write happens at just that revision, otherwise EV_CONFLICT tells the current one", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const value = keyspace.value("key", text);
        const created = await value.set("1", { ifRevision: 0 });
        expect(await rejection(value.set("x", { ifRevision: 0 }))).toMatchObject({
          code: "EV_CONFLICT",
          key: "key",
          currentRevision: created.revision,
        });
        const second = await value.set("2", { ifRevision: created.revision });
        expect(second.revision).toBe(created.revision + 1);
        for (const act of [
          () => value.set("x", { ifRevision: created.revision }),
          () => value.delete({ ifRevision: created.revision }),
          () => value.delete({ ifRevision: 0 }),
          () => value.update(() => "x", { ifRevision: created.revision }),
          () => value.update(() => "x", { ifRevision: second.revision + 5 }),
        ]) {
          expect(await rejection(act())).toMatchObject({ code: "EV_CONFLICT", currentRevision: second.revision });
        }
        expect(await store.get("key")).toMatchObject({ value: "2", revision: second.revision });
        await value.update((current) => `${current}!`, { ifRevision: second.revision });
        expect(await value.read()).toMatchObject({ value: "2!" });
        const { revision } = (await value.read())!;
        expect(await value.delete({ ifRevision: revision })).toEqual({ revision: revision + 1, deleted: true });
      });

      test("ifRevision 0: the key must be absent, and a delete of what is absent is none", async () => {
        await using subject = await open();
        const { keyspace } = subject;
        const value = keyspace.value("key", text);
        expect(await value.delete({ ifRevision: 0 })).toMatchObject({ deleted: false });
        expect(await rejection(value.set("x", { ifRevision: 7 }))).toMatchObject({
          code: "EV_CONFLICT",
          currentRevision: 0,
        });
        await value.update(
          (current) => {
            expect(current).toBe(undefined);
            return "1";
          },
          { ifRevision: 0 },
        );
        expect(await codeOf(value.update(() => "2", { ifRevision: 0 }))).toBe("EV_CONFLICT");
        expect(await value.read()).toMatchObject({ value: "1" });
      });

      test("a conflict of a key that is very long tells its beginning, and has all of it", async () => {
        await using subject = await open();
        const key = "k".repeat(100_000);
        const error = await rejection(subject.keyspace.value(key, text).set("1", { ifRevision: 7 }));
        expect(error).toMatchObject({ code: "EV_CONFLICT", key });
        expect((error as Error).message.length).toBeLessThan(400);
      });

      test("a conflict narrows to its fields, and names the key in its message", async () => {
        await using subject = await open();
        const { keyspace } = subject;
        const error = await rejection(keyspace.value("key", text).set("x", { ifRevision: 7 }));
        if (!isEventValueError(error, "EV_CONFLICT")) throw error;
        expect(error.currentRevision).toBe(0);
        expect(error.message).toContain('"key"');
      });
    });

    test("with a signal that is aborted rejects with its reason, and writes nothing", async () => {
      await using subject = await open();
      const { keyspace, store } = subject;
      await store.put("key", "1");
      const value = keyspace.value("key", text);
      const range = keyspace.range("", text);
      const reason = new Error("enough");
      const options = { signal: AbortSignal.abort(reason) };
      const calls = [
        value.set("2", options),
        value.update(() => "2", options),
        value.delete(options),
        value.read(options),
        range.set("key", "2", options),
        range.update("key", () => "2", options),
        range.delete("key", options),
        range.read(options),
        range.live(options),
        keyspace.transaction([put(value, "2")], options),
        keyspace.lease({ ttlMs: 60_000, ...options }),
        keyspace.election("key").campaign("me", options),
      ];
      for (const outcome of await Promise.allSettled(calls)) expect(outcome).toEqual({ status: "rejected", reason });
      // Made after anything that was.
      await store.put("last", "1");
      expect([...(await store.all())]).toMatchObject([
        ["key", { value: "1" }],
        ["last", { value: "1" }],
      ]);
    });

    describe("update", () => {
      test("of a hundred at once by one keyspace: all finish, and none is lost", async () => {
        await using subject = await open();
        const { keyspace } = subject;
        const counters = [
          keyspace.value("n", json<number>(), { default: 0 }),
          keyspace.value("n", json<number>(), { default: 0 }),
        ];
        let calls = 0;
        const change = (current: number): number => {
          calls++;
          return current + 1;
        };
        const range = keyspace.range("", json<number>());
        const made = await Promise.all(
          Array.from({ length: 100 }, (_, i) =>
            i % 3 === 2 ? range.update("n", (current) => change(current ?? 0)) : counters[i % 3]!.update(change),
          ),
        );
        expect(await counters[0]!.read()).toMatchObject({ value: 100 });
        expect(new Set(made.map(({ revision }) => revision)).size).toBe(100);
        // They wait for each other, so nobody computes in vain; and in the order of their calls.
        expect(calls).toBe(100);
        const revisions = made.map(({ revision }) => revision);
        expect(revisions).toEqual([...revisions].sort((a, b) => a - b));
      });

      test("of twenty keyspaces, five at once by each: all finish, and none is lost", async () => {
        await using subject = await open();
        const keyspaces = [subject.keyspace, ...Array.from({ length: 19 }, () => subject.another())];
        let calls = 0;
        const revisions = await Promise.all(
          keyspaces.flatMap((keyspace) => {
            const counter = keyspace.value("n", json<number>(), { default: 0 });
            return Array.from({ length: 5 }, async () => {
              const { revision } = await counter.update((current) => {
                calls++;
                return current + 1;
              });
              return revision;
            });
          }),
        );
        expect(await subject.store.get("n")).toMatchObject({ value: "100" });
        expect(new Set(revisions).size).toBe(100);
        // It bit: some had to be computed again.
        expect(calls).toBeGreaterThan(100);
      });

      test("that is aborted while it waits for its turn lets the others go on", async () => {
        await using subject = await open();
        const value = subject.keyspace.value("n", json<number>(), { default: 0 });
        const controller = new AbortController();
        const first = value.update((current) => current + 1);
        const aborted = value.update((current) => current + 10, { signal: controller.signal });
        const last = value.update((current) => current + 100);
        controller.abort("enough");
        expect(await rejection(aborted)).toBe("enough");
        await Promise.all([first, last]);
        expect(await value.read()).toMatchObject({ value: 101 });
      });

      test("is given the default for an absent key, and undefined without one", async () => {
        await using subject = await open();
        const { keyspace } = subject;
        const given: unknown[] = [];
        const note = (current: unknown): string => {
          given.push(current);
          return "1";
        };
        await keyspace.value("a", text, { default: "none" }).update(note);
        await keyspace.value("b", text).update(note);
        await keyspace.value("a", text, { default: "none" }).update(note);
        expect(given).toEqual(["none", undefined, "1"]);
      });

      test("whose function throws, or gives nothing or a promise, writes nothing", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const value = keyspace.value("key", json<unknown>());
        const lenient: Codec<unknown> = { decode: () => undefined, encode: () => new Uint8Array(1) };
        const thrown = new Error("cannot tell");
        expect(
          await rejection(
            value.update(() => {
              throw thrown;
            }),
          ),
        ).toBe(thrown);
        expect(await rejection(value.update(() => undefined))).toBeInstanceOf(TypeError);
        expect(await rejection(keyspace.value("key", lenient).update(() => undefined))).toBeInstanceOf(TypeError);
        expect(await rejection(value.update(() => Promise.resolve(1)))).toBeInstanceOf(TypeError);
        expect(await rejection(keyspace.range("", json<unknown>()).update("key", async () => 1))).toBeInstanceOf(
          TypeError,
        );
        expect(await store.all()).toHaveProperty("size", 0);
      });

      test("is ended by its signal, in between as well", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const value = keyspace.value("key", text);
        const controller = new AbortController();
        let calls = 0;
        const updating = value.update(
          () => {
            if (++calls === 3) controller.abort("enough");
            return "mine";
          },
          { signal: controller.signal },
        );
        // Somebody else is always faster.
        const outcome = observe(updating);
        for (let i = 0; outcome().state === "pending"; i++) {
          await store.put("key", `${i}`);
          await turn();
        }
        // It may have come through between two writes of the other.
        if (outcome().state === "rejected") expect(await rejection(updating)).toBe("enough");
        else expect(calls).toBeLessThan(3);
      });
    });
  });
}
