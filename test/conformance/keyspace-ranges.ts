/** Ranges: snapshots, batches, single changes, and what a range covers. */
import { describe, expect, test } from "vitest";
import { type Batch, type Codec, json, text } from "../../src/index.ts";
import { Replica } from "../support/replica.ts";
import { codeOf, observe, rejection, turn } from "../support/promises.ts";
import { Random, seed } from "../support/seed.ts";
import { type Backend, backlog, type RawOperation, syncedRange, utf8 } from "./keyspace-backend.ts";

const keysOf = (batch: Batch<unknown>): string[] => batch.changes.map(({ key }) => key);

export function describeRanges({ open }: Backend): void {
  describe(`a range (seed ${seed})`, () => {
    describe("snapshot", () => {
      test("K4 whole: the first getBatch is the snapshot, complete and in revision order; all that follow are updates", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const range = keyspace.range("in/", text);
        const b = await store.put("in/b", "1");
        const a = await store.put("in/a", "2");
        const c = await store.put("in/c", "3");
        const a2 = await store.put("in/a", "4");
        using watcher = range.watch();
        const outside = await store.put("out", "elsewhere");
        expect(await watcher.getBatch()).toEqual({
          type: "snapshot",
          revision: outside,
          changes: [
            { type: "put", key: "in/b", value: "1", revision: b, createRevision: b },
            { type: "put", key: "in/c", value: "3", revision: c, createRevision: c },
            { type: "put", key: "in/a", value: "4", revision: a2, createRevision: a },
          ],
        });
        const waiting = watcher.getBatch();
        const gone = await store.delete("in/b");
        expect(await waiting).toEqual({
          type: "update",
          revision: gone,
          changes: [{ type: "delete", key: "in/b", revision: gone }],
        });
      });

      test("K1 of an empty range: an empty snapshot at once, then nothing until there is something", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const range = keyspace.range("in/", text);
        const revision = await store.put("out", "elsewhere");
        using watcher = range.watch();
        expect(await watcher.getBatch()).toEqual({ type: "snapshot", revision, changes: [] });
        using eager = range.watch();
        expect(await eager.getBatch(backlog)).toEqual({ type: "snapshot", revision, changes: [] });
        expect(await codeOf(eager.getBatch(backlog))).toBe("EV_BACKLOG_DONE");
        using single = range.watch();
        expect(await codeOf(single.get(backlog))).toBe("EV_BACKLOG_DONE");
        const waiting = observe(watcher.getBatch());
        await syncedRange(range);
        expect(waiting()).toEqual({ state: "pending" });
        await store.put("in/a", "1");
        expect(await single.get()).toMatchObject({ type: "put", key: "in/a" });
        expect(await eager.getBatch()).toMatchObject({ type: "update", changes: [{ key: "in/a" }] });
      });

      test("K1 backlogOnly: marks the end of the initial snapshot, read singly", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const range = keyspace.range("", text);
        for (const key of ["c", "a", "b"]) await store.put(key, key);
        using watcher = range.watch();
        const keys: string[] = [];
        let end: unknown;
        while (end === undefined) {
          await watcher.get(backlog).then(
            (change) => keys.push(change.key),
            (error: unknown) => (end = error),
          );
        }
        expect(keys).toEqual(["c", "a", "b"]);
        expect(end).toMatchObject({ code: "EV_BACKLOG_DONE" });
      });

      test("K4 whole: after a get there is no snapshot any more, only the rest as an update", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const range = keyspace.range("", text);
        for (const key of ["a", "b", "c"]) await store.put(key, key);
        using watcher = range.watch();
        expect(await watcher.get()).toMatchObject({ key: "a" });
        const rest = await watcher.getBatch();
        expect(rest.type).toBe("update");
        expect(keysOf(rest)).toEqual(["b", "c"]);
      });

      test("K4 whole: a get that was aborted, or found nothing to begin with, is no read of a snapshot's part", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const range = keyspace.range("", text);
        await store.put("a", "1");
        using watcher = range.watch();
        expect(await rejection(watcher.get({ signal: AbortSignal.abort("before") }))).toBe("before");
        const controller = new AbortController();
        const get = watcher.get({ signal: controller.signal });
        controller.abort("at once");
        expect(await rejection(get)).toBe("at once");
        expect(await watcher.getBatch()).toMatchObject({ type: "snapshot", changes: [{ key: "a" }] });
      });

      test("read() is a snapshot too", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const range = keyspace.range("", text);
        expect(await range.read()).toMatchObject({ type: "snapshot", changes: [] });
        const b = await store.put("b", "1");
        const a = await store.put("a", "2");
        expect(await range.read()).toEqual({
          type: "snapshot",
          revision: a,
          changes: [
            { type: "put", key: "b", value: "1", revision: b, createRevision: b },
            { type: "put", key: "a", value: "2", revision: a, createRevision: a },
          ],
        });
      });
    });

    describe("updates", () => {
      test("K3 order: each key at most once in a pass, with its newest state, in revision order", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const range = keyspace.range("", text);
        using watcher = range.watch();
        const replica = new Replica();
        await replica.getBatch(watcher);
        for (let i = 0; i < 10; i++) for (const key of ["a", "b", "c"]) await store.put(key, `${i}`);
        await store.put("a", "last");
        await syncedRange(range);
        expect(keysOf(await replica.getBatch(watcher))).toEqual(["b", "c", "a"]);
        expect(replica.values()).toEqual({ a: "last", b: "9", c: "9" });
        expect(await codeOf(watcher.getBatch(backlog))).toBe("EV_BACKLOG_DONE");
      });

      test("K3 order: a key that changes while a pass is read singly moves to its end", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const range = keyspace.range("", text);
        for (const key of ["a", "b", "c"]) await store.put(key, "1");
        using watcher = range.watch();
        const replica = new Replica();
        expect(await replica.get(watcher)).toMatchObject({ key: "a", value: "1" });
        await store.put("b", "2");
        await store.put("a", "2");
        await syncedRange(range);
        expect(await replica.get(watcher)).toMatchObject({ key: "c", value: "1" });
        expect(await replica.get(watcher)).toMatchObject({ key: "b", value: "2" });
        expect(await replica.get(watcher)).toMatchObject({ key: "a", value: "2" });
        expect(await codeOf(watcher.get(backlog))).toBe("EV_BACKLOG_DONE");
      });

      test("K4 whole transactions: keys changed in one are never split over two batches, and their sum never breaks", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const accounts = 20;
        const random = new Random(seed);
        const balances = Array.from({ length: accounts }, () => 100);
        const keyOf = (account: number): string => `${account}`;
        await store.txn(balances.map((value, account) => ({ key: keyOf(account), value: `${value}` })));
        const range = keyspace.range("", json<number>());
        let done = false;
        const consumers = [1, 2, 5].map(async (speed) => {
          using watcher = range.watch();
          const known = new Map<string, number>();
          let batches = 0;
          for await (const batch of watcher.batches()) {
            batches++;
            for (const change of batch.changes) if (change.type === "put") known.set(change.key, change.value);
            for (const change of batch.changes) if (change.type === "delete") known.delete(change.key);
            expect([...known.values()].reduce((sum, value) => sum + value, 0)).toBe(accounts * 100);
            if (known.has("end")) break;
            for (let pause = 1; pause < speed; pause++) await turn();
          }
          expect(done).toBe(true);
          return batches;
        });
        for (let i = 0; i < 400; i++) {
          const from = random.below(accounts);
          const to = (from + 1 + random.below(accounts - 1)) % accounts;
          // Now and then all of it: an account that holds nothing is no key.
          const amount = random.below(3) === 0 ? balances[from]! : random.below(10);
          balances[from]! -= amount;
          balances[to]! += amount;
          const operations = [from, to].map((account): RawOperation =>
            balances[account] === 0 ? { key: keyOf(account) } : { key: keyOf(account), value: `${balances[account]}` },
          );
          await store.txn(operations);
          // A store in memory would leave no room for who is slow.
          if (i % 5 === 0) await turn();
        }
        done = true;
        await store.put("end", "0");
        for (const batches of await Promise.all(consumers)) expect(batches).toBeGreaterThan(2);
      });

      test("K6 spurious updates are dropped, and their revision is recorded for who joins", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const range = keyspace.range("", text);
        const a = await store.put("a", "same");
        await store.put("b", "1");
        using watcher = range.watch();
        await watcher.getBatch();
        const rewritten = await store.put("a", "same");
        const joined = await syncedRange(range);
        expect(joined.changes.at(-1)).toEqual({
          type: "put",
          key: "a",
          value: "same",
          revision: rewritten,
          createRevision: a,
        });
        expect(await codeOf(watcher.getBatch(backlog))).toBe("EV_BACKLOG_DONE");
        // The recorded revision is the one to write on.
        await range.set("a", "next", { ifRevision: rewritten });
        expect(await watcher.getBatch()).toMatchObject({ changes: [{ key: "a", value: "next" }] });
      });

      test("K6 A, B, A unread is delivered as A", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const range = keyspace.range("", text);
        await store.put("a", "A");
        using watcher = range.watch();
        await watcher.getBatch();
        await store.put("a", "B");
        const revision = await store.put("a", "A");
        await syncedRange(range);
        expect(await watcher.getBatch(backlog)).toMatchObject({ changes: [{ key: "a", value: "A", revision }] });
      });

      test("K6 a delete and re-creation with equal bytes is a put, in one transaction after the other or unread", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const range = keyspace.range("", text);
        await store.put("a", "same");
        using watcher = range.watch();
        await watcher.getBatch();
        await store.delete("a");
        const revision = await store.put("a", "same");
        await syncedRange(range);
        expect(await watcher.getBatch(backlog)).toMatchObject({
          changes: [{ type: "put", key: "a", value: "same", revision, createRevision: revision }],
        });
      });

      test("K5 no phantom: a delete goes only to a watcher that was handed the key", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const range = keyspace.range("", text);
        for (const key of ["a", "b"]) await store.put(key, "1");
        using all = range.watch();
        using first = range.watch();
        using none = range.watch();
        await all.getBatch();
        expect(await first.get()).toMatchObject({ key: "a" });
        expect(await codeOf(none.get({ filter: () => false, backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
        using later = range.watch();
        await store.put("c", "came");
        await store.delete("c");
        await store.delete("b");
        const revision = await store.delete("a");
        await syncedRange(range);
        expect(keysOf(await all.getBatch(backlog))).toEqual(["b", "a"]);
        expect(await first.getBatch(backlog)).toEqual({
          type: "update",
          revision,
          changes: [{ type: "delete", key: "a", revision }],
        });
        expect(await later.getBatch(backlog)).toEqual({ type: "snapshot", revision, changes: [] });
        // What a filter refused was handed all the same.
        expect(keysOf(await none.getBatch(backlog))).toEqual(["b", "a"]);
      });

      test("joiners are given the state as a snapshot, whatever the others have read", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const range = keyspace.range("", text);
        const random = new Random(seed + 1);
        using old = range.watch();
        const oldReplica = new Replica();
        await oldReplica.getBatch(old);
        for (let i = 0; i < 60; i++) {
          const key = `${random.below(8)}`;
          await (random.below(3) === 0 ? store.delete(key) : store.put(key, `${i}`));
          using joiner = range.watch();
          const replica = new Replica();
          if (i % 2 === 0) await replica.getBatch(joiner);
          else while ((await codeOrUndefined(replica.get(joiner, backlog))) === undefined);
          const held = await store.all();
          expect(replica.map).toEqual(held);
          if (random.below(4) === 0) {
            await oldReplica.getBatch(old, backlog).catch(() => {});
            expect(oldReplica.values()).toEqual(replica.values());
          }
        }
      });

      test("batches() yields what getBatch() would; leaving the loop closes the watcher", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const range = keyspace.range("", text);
        await store.put("a", "1");
        const watcher = range.watch();
        const seen: unknown[] = [];
        for await (const { type, changes } of watcher.batches()) {
          seen.push([type, changes.map(({ key }) => key)]);
          if (seen.length === 3) break;
          await store.txn([
            { key: `b${seen.length}`, value: "1" },
            { key: `c${seen.length}`, value: "1" },
          ]);
        }
        expect(seen).toEqual([
          ["snapshot", ["a"]],
          ["update", ["b1", "c1"]],
          ["update", ["b2", "c2"]],
        ]);
        expect(await codeOf(watcher.getBatch())).toBe("EV_CLOSED");
        const controller = new AbortController();
        const loop = (async () => {
          for await (const batch of range.watch({ signal: controller.signal }).batches()) {
            expect(batch.type).toBe("snapshot");
            controller.abort("enough");
          }
        })();
        expect(await rejection(loop)).toBe("enough");
      });

      test("a loop over a range yields the changes singly", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const range = keyspace.range("", text);
        await store.put("a", "1");
        const seen: string[] = [];
        for await (const change of range.watch()) {
          seen.push(`${change.type} ${change.key}`);
          if (seen.length === 1) await store.put("b", "1");
          if (seen.length === 2) await store.delete("a");
          if (seen.length === 3) break;
        }
        expect(seen).toEqual(["put a", "put b", "delete a"]);
      });

      test("C6 one get at a time: getBatch and get refuse each other, and leave the pending one as it is", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const range = keyspace.range("", text);
        using watcher = range.watch();
        await watcher.getBatch();
        const batch = watcher.getBatch();
        expect(await codeOf(watcher.get())).toBe("EV_CONCURRENT_GET");
        await store.put("a", "1");
        expect(await batch).toMatchObject({ type: "update", changes: [{ key: "a" }] });
        const single = watcher.get();
        expect(await codeOf(watcher.getBatch())).toBe("EV_CONCURRENT_GET");
        await store.put("b", "1");
        expect(await single).toMatchObject({ type: "put", key: "b" });
      });

      test("C7 cancel: an aborted getBatch took nothing", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const range = keyspace.range("", text);
        using watcher = range.watch();
        await watcher.getBatch();
        const controller = new AbortController();
        const aborted = watcher.getBatch({ signal: controller.signal });
        controller.abort("enough");
        expect(await rejection(aborted)).toBe("enough");
        await store.put("a", "1");
        await syncedRange(range);
        expect(await rejection(watcher.getBatch({ signal: controller.signal }))).toBe("enough");
        expect(await watcher.getBatch(backlog)).toMatchObject({ changes: [{ key: "a" }] });
      });
    });

    describe("bad data", () => {
      test("K8 bad data is local: an invalid entry in a batch, a rejection of the single get, and all else goes on", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const range = keyspace.range("", json<number>());
        await store.put("a", "1");
        const bad = await store.put("b", "{bad");
        await store.put("c", "3");
        const invalid = {
          type: "invalid",
          key: "b",
          bytes: utf8("{bad"),
          error: expect.objectContaining({ code: "EV_DECODE", key: "b", revision: bad, bytes: utf8("{bad") }),
          revision: bad,
        };
        using whole = range.watch();
        expect((await whole.getBatch()).changes).toEqual([
          expect.objectContaining({ key: "a", value: 1 }),
          invalid,
          expect.objectContaining({ key: "c", value: 3 }),
        ]);
        expect((await range.read()).changes[1]).toEqual(invalid);
        using single = range.watch();
        expect(await single.get()).toMatchObject({ key: "a" });
        expect(await rejection(single.get())).toMatchObject({ code: "EV_DECODE", key: "b", revision: bad });
        expect(await single.get()).toMatchObject({ key: "c" });
        expect(await codeOf(single.get(backlog))).toBe("EV_BACKLOG_DONE");
        // What it became, or that it went, is told as of any other key.
        await store.put("b", "2");
        expect(await single.get()).toMatchObject({ type: "put", key: "b", value: 2 });
        expect(await whole.getBatch()).toMatchObject({ changes: [{ type: "put", key: "b", value: 2 }] });
        await store.put("b", "{bad");
        await whole.getBatch();
        const gone = await store.delete("b");
        expect(await whole.getBatch()).toMatchObject({ changes: [{ type: "delete", key: "b", revision: gone }] });
      });
    });

    describe("what it covers", () => {
      test("a prefix: keys that begin with it, itself included, and no neighbour", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        for (const key of ["a", "a/", "a/b", "a/\uffff", "a/\u{10ffff}z", "a0", "A/", "b", ""]) {
          if (key !== "") await store.put(key, "1");
        }
        const covers = async (range: string | { start: string; end: string }): Promise<string[]> =>
          keysOf(await keyspace.range(range, text).read()).sort();
        expect(await covers("a/")).toEqual(["a/", "a/b", "a/\u{10ffff}z", "a/\uffff"]);
        expect(await covers("a")).toEqual(["a", "a/", "a/b", "a/\u{10ffff}z", "a/\uffff", "a0"]);
        expect(await covers("")).toHaveLength(8);
        expect(await covers("none")).toEqual([]);
        // The first bytes after this prefix are those of no character at all.
        expect(await covers("a/\u{10ffff}")).toEqual(["a/\u{10ffff}z"]);
      });

      test("from start to before end, in the order of bytes, which is not that of UTF-16", async () => {
        await using subject = await open();
        const { keyspace } = subject;
        const range = keyspace.range({ start: "b", end: "\u{1f600}" }, text);
        const inside = ["b", "ba", "z", "é", "\uff5e"];
        using watcher = range.watch();
        await watcher.getBatch();
        for (const key of ["a", "\u{1f600}", "\u{1f601}", ...inside]) await keyspace.value(key, text).set("1");
        await syncedRange(range);
        expect(keysOf(await watcher.getBatch())).toEqual(inside);
        expect(keysOf(await range.read())).toEqual(inside);
        await range.set("b", "2");
        for (const key of ["a", "\u{1f600}", "\u{1f601}"]) expect(() => range.set(key, "2"), key).toThrow(RangeError);
        // U+FF5E comes after U+1F600 as UTF-16, before it as UTF-8.
        await range.set("\uff5e", "2");
        await syncedRange(range);
        expect(keysOf(await watcher.getBatch())).toEqual(["b", "\uff5e"]);
      });

      test("from the beginning: an empty start is before all keys", async () => {
        await using subject = await open();
        const { keyspace } = subject;
        for (const key of ["\0", "a", "b"]) await keyspace.value(key, text).set("1");
        expect(keysOf(await keyspace.range({ start: "", end: "b" }, text).read())).toEqual(["\0", "a"]);
      });

      test("unicode keys are what they were written as, in every part of a change", async () => {
        await using subject = await open();
        const { keyspace } = subject;
        const range = keyspace.range("", text);
        const keys = ["é", "e\u0301", "日本", "😀", "\uFFFD", "\uFEFF", "a\0", "a\n"];
        using watcher = range.watch();
        await watcher.getBatch();
        for (const key of keys) await range.set(key, key);
        await syncedRange(range);
        const batch = await watcher.getBatch();
        expect(batch.changes.map((change) => [change.key, change.type === "put" && change.value])).toEqual(
          keys.map((key) => [key, key]),
        );
      });

      test("the decoder is given each full key", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const codec: Codec<string> = { decode: (_bytes, key) => `of ${key}`, encode: (value) => utf8(value) };
        await store.put("in/a", "1");
        const range = keyspace.range("in/", codec);
        using watcher = range.watch();
        expect(await watcher.get()).toMatchObject({ key: "in/a", value: "of in/a" });
        await range.update("in/b", (current) => `${current}!`);
        expect(await watcher.get()).toMatchObject({ key: "in/b", value: "of in/b" });
      });

      test("a bare decode function gives the reading side alone", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        await store.put("a", "1");
        const range = keyspace.range("", (stored) => stored.length);
        for (const name of ["set", "update", "delete"]) expect(range).not.toHaveProperty(name);
        expect(await range.read()).toMatchObject({ changes: [{ key: "a", value: 1 }] });
        using watcher = range.watch();
        expect(await watcher.get()).toMatchObject({ key: "a", value: 1 });
      });

      test("overlapping ranges and keys of one keyspace are told the same changes", async () => {
        await using subject = await open();
        const { keyspace } = subject;
        using all = keyspace.range("", text).watch();
        using some = keyspace.range("a/", text).watch();
        using key = keyspace.value("a/b", text).updates.watch();
        await Promise.all([all.getBatch(), some.getBatch()]);
        const waiting = key.get();
        const { revision } = await keyspace.value("a/b", text).set("1");
        const put = { type: "put", key: "a/b", value: "1", revision, createRevision: revision };
        expect(await waiting).toEqual(put);
        expect(await all.get()).toEqual(put);
        expect(await some.get()).toEqual(put);
      });
    });
  });
}

async function codeOrUndefined(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: { code?: unknown }) => error.code ?? error,
  );
}
