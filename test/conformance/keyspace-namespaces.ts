/** Namespaces: a literal prefix, put before all keys and stripped off again everywhere. */
import { describe, expect, test } from "vitest";
import { type Codec, ifRevision, json, type KeyValue, put, text } from "../../src/index.ts";
import { rejection } from "../support/promises.ts";
import { type Backend, syncedRange } from "./keyspace-backend.ts";

/** As literal as any. */
const namespace = "no-slash";

export function describeNamespaces({ open }: Backend): void {
  describe("a namespace", () => {
    test("is put before keys and stripped off everywhere: in changes, errors, and what codecs are given", async () => {
      await using subject = await open();
      const { store } = subject;
      const keyspace = subject.another(namespace);
      const decoders: string[] = [];
      const codec: Codec<string> = {
        decode: (stored, of) => {
          decoders.push(of);
          return text.decode(stored, of);
        },
        encode: (value, of) => {
          decoders.push(of);
          return text.encode(value, of);
        },
      };
      const value: KeyValue<string> = keyspace.value("key", codec);
      expect(value.key).toBe("key");
      using updates = value.updates.watch();
      const { revision } = await value.set("here");
      expect(await store.get(`${namespace}key`)).toMatchObject({ value: "here", revision });
      expect(await updates.get()).toMatchObject({ type: "put", key: "key" });
      const lease = await keyspace.lease({ ttlMs: 60_000 });
      await lease.close();
      for (const [write, code] of [
        [() => value.set("other", { ifRevision: 0 }), "EV_CONFLICT"],
        [() => keyspace.transaction([put(value, "other"), ifRevision(value, 0)]), "EV_CONFLICT"],
        [() => value.set("other", { lease }), "EV_LEASE_NOT_FOUND"],
        [() => keyspace.transaction([put(value, "other", { lease })]), "EV_LEASE_NOT_FOUND"],
      ] as const) {
        const error = await rejection(write());
        expect(error).toMatchObject({ code, key: "key" });
        expect((error as Error).message).not.toContain(namespace);
        expect((error as Error).message).toContain('"key"');
      }
      await store.put(`${namespace}key`, Uint8Array.of(0xff));
      const undecodable = await rejection(updates.get());
      expect(undecodable).toMatchObject({ code: "EV_DECODE", key: "key" });
      expect((undecodable as Error).message).not.toContain(namespace);
      await store.delete(`${namespace}key`);
      expect(await updates.get()).toMatchObject({ type: "delete", key: "key" });
      expect(new Set(decoders)).toEqual(new Set(["key"]));
    });

    test("is that of ranges, live maps, transactions and elections as well", async () => {
      await using subject = await open();
      const { store } = subject;
      const keyspace = subject.another(namespace);
      for (const key of ["a", "no-slasg", "no-slasi", "z"]) await store.put(key, "outside");
      const range = keyspace.range("", json<number>());
      using watcher = range.watch();
      using map = await range.live();
      expect(await watcher.getBatch()).toMatchObject({ type: "snapshot", changes: [] });
      const { revision } = await keyspace.transaction([
        put(keyspace.value("a", json<number>()), 1),
        put(keyspace.value("b", json<number>()), 2),
      ]);
      expect((await watcher.getBatch()).changes.map(({ key }) => key).sort()).toEqual(["a", "b"]);
      await map.atLeast(revision);
      expect([...map]).toEqual([
        ["a", 1],
        ["b", 2],
      ]);
      await range.set("b", 3);
      expect(await store.get(`${namespace}b`)).toMatchObject({ value: "3" });
      const part = keyspace.range({ start: "b", end: "c" }, json<number>());
      expect((await part.read()).changes.map(({ key }) => key)).toEqual(["b"]);
      await map.atLeast(await store.put(`${namespace}a`, "{bad"));
      expect([...map.invalid.keys()]).toEqual(["a"]);
      const leader = await keyspace.election("e").campaign("me");
      const keys = [...(await store.all()).keys()];
      expect(keys.filter((key) => key.startsWith(`${namespace}e/`))).toHaveLength(1);
      await leader.resign();
    });

    test("does not mix with one that begins alike, nor with keys outside", async () => {
      await using subject = await open();
      const outer = subject.keyspace;
      const [inner, longer] = [subject.another("a"), subject.another("ab")];
      await outer.value("key", text).set("outer");
      await inner.value("key", text).set("inner");
      await longer.value("key", text).set("longer");
      expect(await outer.value("key", text).read()).toMatchObject({ value: "outer" });
      expect(await outer.value("akey", text).read()).toMatchObject({ value: "inner" });
      expect(await inner.value("key", text).read()).toMatchObject({ value: "inner" });
      // They are nested, as their texts are.
      expect(await inner.value("bkey", text).read()).toMatchObject({ value: "longer" });
      expect((await syncedRange(longer.range("", text))).changes).toMatchObject([{ key: "key", value: "longer" }]);
      expect((await syncedRange(inner.range("k", text))).changes).toMatchObject([{ key: "key", value: "inner" }]);
    });
  });
}
