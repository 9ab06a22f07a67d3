/** What is wrong is refused at the call: `TypeError` for what is of another kind, `RangeError` for what is too much. */
import { describe, expect, test } from "vitest";
import { bytes, ifRevision, json, put, remove, text } from "../../src/index.ts";
import type { Backend } from "./keyspace-backend.ts";

export function describeArguments({ open }: Backend): void {
  describe("what is wrong is refused at the call", () => {
    test("keys, ranges and codecs", async () => {
      await using subject = await open();
      const { keyspace } = subject;
      const value = keyspace.value.bind(keyspace) as (...given: unknown[]) => unknown;
      const range = keyspace.range.bind(keyspace) as (...given: unknown[]) => unknown;
      expect(() => value("", text)).toThrow(RangeError);
      expect(() => value("", text)).toThrow("key must not be empty");
      for (const key of [undefined, null, 1, {}, new Uint8Array(1), "a\ud800", "\udc00a"]) {
        expect(() => value(key, text), String(key)).toThrow(TypeError);
        expect(() => value(key, text), String(key)).toThrow("key");
      }
      for (const codec of [undefined, null, "text", {}, { decode: () => "" }, { encode: () => "" }]) {
        expect(() => value("a", codec)).toThrow(TypeError);
        expect(() => range("a", codec)).toThrow(TypeError);
        expect(() => range("a", codec)).toThrow("codec");
      }
      for (const options of [null, 1, "x", { defualt: 1 }, { default: Promise.resolve(1) }]) {
        expect(() => value("a", text, options)).toThrow(TypeError);
      }
      for (const selector of [
        undefined,
        null,
        1,
        {},
        { start: "a" },
        { end: "a" },
        { start: 1, end: 2 },
        "\ud800",
        { start: "a", end: "\ud800" },
      ]) {
        expect(() => range(selector, text), JSON.stringify(selector)).toThrow(TypeError);
        expect(() => range(selector, text), JSON.stringify(selector)).toThrow("range");
      }
      for (const [start, end] of [
        ["b", "a"],
        ["a", "a"],
        ["", ""],
        // No key comes before this end.
        ["", "\0"],
        ["a", ""],
        // In the order of UTF-16 these would be a range.
        ["\u{1f600}", "\uff5e"],
      ]) {
        expect(() => range({ start, end }, text), `${start} to ${end}`).toThrow(RangeError);
        expect(() => range({ start, end }, text), `${start} to ${end}`).toThrow("range.end");
      }
    });

    test("values", async () => {
      await using subject = await open();
      const { keyspace } = subject;
      const ofText = keyspace.value("a", text);
      const ofJson = keyspace.value("a", json<unknown>());
      const odd = keyspace.value("a", { decode: () => 1, encode: () => "not bytes" as never });
      const cycle: Record<string, unknown> = {};
      cycle["again"] = cycle;
      const wrong: [string, () => unknown][] = [
        ["a promise", () => ofJson.set(Promise.resolve(1))],
        // oxlint-disable-next-line unicorn/no-thenable -- the point
        ["a thenable", () => ofJson.set({ then: () => {} })],
        ["a promise, of a range", () => keyspace.range("", json<unknown>()).set("a", Promise.resolve(1))],
        ["undefined as JSON", () => ofJson.set(undefined)],
        ["a function as JSON", () => ofJson.set(() => {})],
        ["a cycle as JSON", () => ofJson.set(cycle)],
        ["half a surrogate pair", () => ofText.set("\ud800")],
        ["a number as text", () => ofText.set(1 as never)],
        ["text as bytes", () => keyspace.value("a", bytes).set("1" as never)],
        ["what is not bytes", () => odd.set(1)],
        ["no function", () => ofText.update("x" as never)],
        ["no function, of a range", () => keyspace.range("", text).update("a", undefined as never)],
      ];
      for (const [title, act] of wrong) expect(act, title).toThrow(TypeError);
    });

    test("options", async () => {
      await using subject = await open();
      const { keyspace } = subject;
      const value = keyspace.value("a", text);
      const range = keyspace.range("", text);
      const calls: [string, (options: never) => unknown][] = [
        ["set", (options) => value.set("1", options)],
        ["update", (options) => value.update(() => "1", options)],
        ["delete", (options) => value.delete(options)],
        ["range set", (options) => range.set("a", "1", options)],
        ["range update", (options) => range.update("a", () => "1", options)],
        ["range delete", (options) => range.delete("a", options)],
      ];
      for (const [title, act] of calls) {
        for (const options of [
          null,
          1,
          { ifRevison: 1 },
          { ifRevision: "1" },
          { ifRevision: null },
          { ifRevision: 1n },
          { lease: null },
          { lease: "1" },
          { lease: {} },
          { lease: { id: 1 } },
          { lease: { id: "one" } },
          { signal: {} },
          new AbortController().signal,
        ]) {
          expect(() => act(options as never), `${title} ${String(options)}`).toThrow(TypeError);
        }
        for (const ifRevision of [-1, 1.5, Number.NaN, 2 ** 53]) {
          expect(() => act({ ifRevision } as never), `${title} ${ifRevision}`).toThrow(RangeError);
          expect(() => act({ ifRevision } as never), `${title} ${ifRevision}`).toThrow("ifRevision");
        }
      }
      using watcher = range.watch();
      using map = await range.live();
      const election = keyspace.election("e");
      const others: [string, (options: never) => unknown][] = [
        ["read", (options) => value.read(options)],
        ["range read", (options) => range.read(options)],
        ["live", (options) => range.live(options)],
        ["transaction", (options) => keyspace.transaction([], options)],
        ["atLeast", (options) => map.atLeast(1, options)],
        ["live watch", (options) => map.watch(options)],
        ["campaign", (options) => election.campaign("me", options)],
        ["leader", (options) => election.leader.watch(options)],
        ["watch", (options) => value.watch(options)],
        ["updates", (options) => value.updates.watch(options)],
        ["range watch", (options) => range.watch(options)],
        ["status", (options) => keyspace.status.watch(options)],
        ["getBatch", (options) => watcher.getBatch(options)],
        ["get", (options) => watcher.get(options)],
      ];
      for (const [title, act] of others) {
        for (const options of [null, 1, { signals: 1 }, { signal: 1 }]) {
          expect(() => act(options as never), title).toThrow(TypeError);
        }
      }
      expect(() => watcher.getBatch({ filter: () => true } as never)).toThrow('unknown option "filter"');
      for (const ttlMs of [undefined, null, "5s", 5n])
        expect(() => keyspace.lease({ ttlMs } as never)).toThrow(TypeError);
      for (const ttlMs of [0, -1, Number.NaN, Number.POSITIVE_INFINITY])
        expect(() => keyspace.lease({ ttlMs })).toThrow(RangeError);
      expect(() => keyspace.lease({ ttlMs: 0 })).toThrow("ttlMs");
      expect(() => keyspace.lease(undefined as never)).toThrow(TypeError);
      expect(() => keyspace.lease({ ttl: 5 } as never)).toThrow(TypeError);
    });

    test("transactions", async () => {
      await using subject = await open();
      const { keyspace } = subject;
      const other = subject.another();
      const value = keyspace.value("a", json<unknown>());
      const step = put(value, 1);
      const transaction = keyspace.transaction.bind(keyspace) as (operations: unknown) => unknown;
      for (const operations of [undefined, null, step, "x", { length: 0 }, [undefined], [null], [value], [step, {}]]) {
        expect(() => transaction(operations), JSON.stringify(operations)).toThrow(TypeError);
      }
      // What looks like a step is none.
      expect(() => transaction([{ type: "remove", key: "a" }])).toThrow("made by put, remove and ifRevision");
      expect(() => transaction([put(other.value("a", text), "1")])).toThrow(TypeError);
      expect(() => transaction([step, ifRevision(other.value("b", text), 0)])).toThrow(/"b" is of another keyspace/);
      for (const twice of [
        [put(value, 1), put(value, 1)],
        [remove(value), remove(keyspace.value("a", text))],
        [put(value, 1), remove(value)],
      ]) {
        expect(() => transaction(twice)).toThrow(RangeError);
        expect(() => transaction(twice)).toThrow('"a" is written twice');
      }
      const anyPut = put as (...given: unknown[]) => unknown;
      for (const target of [undefined, null, "a", {}, keyspace.value("a", () => 1), keyspace.range("", text)]) {
        expect(() => anyPut(target, 1)).toThrow(TypeError);
        expect(() => remove(target as never)).toThrow(TypeError);
        expect(() => ifRevision(target as never, 0)).toThrow(TypeError);
      }
      expect(() => put(keyspace.value("a", text), 1 as never)).toThrow(TypeError);
      expect(() => put(value, undefined)).toThrow(TypeError);
      expect(() => put(value, Promise.resolve(1))).toThrow(TypeError);
      for (const options of [null, { lease: null }, { lease: "1" }, { ifRevision: 1 }]) {
        expect(() => put(value, 1, options as never), JSON.stringify(options)).toThrow(TypeError);
      }
      for (const revision of [undefined, null, "1", 1n]) {
        expect(() => ifRevision(value, revision as never)).toThrow(TypeError);
      }
      for (const revision of [-1, 1.5, Number.NaN, 2 ** 53]) {
        expect(() => ifRevision(value, revision)).toThrow(RangeError);
      }
      expect((await subject.store.all()).size).toBe(0);
    });

    test("revisions of live maps", async () => {
      await using subject = await open();
      using map = await subject.keyspace.range("", text).live();
      for (const revision of [undefined, null, "1", 1n]) {
        expect(() => map.atLeast(revision as never)).toThrow(TypeError);
      }
      for (const revision of [-1, 1.5, Number.NaN, 2 ** 53]) expect(() => map.atLeast(revision)).toThrow(RangeError);
    });

    test("elections", async () => {
      await using subject = await open();
      const { keyspace } = subject;
      expect(() => keyspace.election("")).toThrow(RangeError);
      for (const name of [undefined, null, 1, "\ud800"]) {
        expect(() => keyspace.election(name as never)).toThrow(TypeError);
      }
      const election = keyspace.election("e");
      for (const value of [undefined, null, 1, "\ud800"]) {
        expect(() => election.campaign(value as never)).toThrow(TypeError);
      }
      for (const ttlMs of [null, "5s", 5n])
        expect(() => election.campaign("me", { ttlMs } as never)).toThrow(TypeError);
      for (const ttlMs of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
        expect(() => election.campaign("me", { ttlMs })).toThrow(RangeError);
      }
      expect((await subject.store.all()).size).toBe(0);
    });
  });
}
