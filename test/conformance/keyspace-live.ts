/** Live maps: a range as a map, which is always a state that the store has been in. */
import { describe, expect, test } from "vitest";
import { type Batch, isEventValueError, json, type LiveMap, put, text } from "../../src/index.ts";
import { codeOf, microtasks, observe, rejection, turn } from "../support/promises.ts";
import { Random, seed } from "../support/seed.ts";
import { type Backend, backlog, type RawOperation, synced, syncedRange } from "./keyspace-backend.ts";

/** Keys in the order of their bytes. */
function inOrder(keys: Iterable<string>): string[] {
  return [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

const closedError: unknown = expect.objectContaining({ code: "EV_CLOSED" });

export function describeLive({ open }: Backend): void {
  describe(`a live map (seed ${seed})`, () => {
    describe("as a map", () => {
      test("is the range: size, has, get, keys, values, entries, forEach", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        await store.put("in/b", "2");
        await store.put("in/a", "1");
        await store.put("out", "0");
        const revision = await store.put("in/c", "");
        using map = await keyspace.range("in/", text).live();
        const entries = [
          ["in/a", "1"],
          ["in/b", "2"],
          ["in/c", ""],
        ];
        expect(map.size).toBe(3);
        expect(map.revision).toBe(revision);
        expect([map.has("in/a"), map.has("out"), map.has("in/d"), map.has("")]).toEqual([true, false, false, false]);
        expect([map.get("in/a"), map.get("in/c"), map.get("out")]).toEqual(["1", "", undefined]);
        expect([...map]).toEqual(entries);
        expect([...map.entries()]).toEqual(entries);
        expect([...map.keys()]).toEqual(["in/a", "in/b", "in/c"]);
        expect([...map.values()]).toEqual(["1", "2", ""]);
        expect(new Map(map)).toEqual(new Map(entries as [string, string][]));
        expect(Object.prototype.toString.call(map)).toBe("[object LiveMap]");
        const called: unknown[] = [];
        const self = {};
        map.forEach(function (this: unknown, value, key, of) {
          called.push([key, value]);
          expect(this).toBe(self);
          expect(of).toBe(map);
        }, self);
        expect(called).toEqual(entries);
        expect(map.invalid.size).toBe(0);
      });

      test("of an empty range is empty, at the store's revision", async () => {
        await using subject = await open();
        const revision = await subject.store.put("out", "1");
        using map = await subject.keyspace.range("in/", text).live();
        expect([map.size, map.revision, [...map]]).toEqual([0, revision, []]);
      });

      test("an empty value is there, an undefined one as well", async () => {
        await using subject = await open();
        await subject.store.put("a", "");
        using map = await subject.keyspace.range("", () => undefined).live();
        expect([map.has("a"), map.get("a"), map.size, [...map]]).toEqual([true, undefined, 1, [["a", undefined]]]);
      });

      test("keys are in the order of their bytes, which is not that of UTF-16", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const keys = [
          "a\0",
          "a",
          "\u{1f600}",
          "\u{10ffff}z",
          "\ufffd",
          "\uff5e",
          "\ue000",
          "\ud7ff",
          "é",
          "z",
          "b/c",
          "b0",
          "b",
        ];
        const range = keyspace.range("", text);
        using early = await range.live();
        for (const key of keys) {
          await early.atLeast(await store.put(key, key));
          expect([...early.keys()]).toEqual(inOrder(early.keys()));
        }
        using late = await range.live();
        for (const map of [early, late]) expect([...map.keys()]).toEqual(inOrder(keys));
        expect(inOrder(keys)).not.toEqual([...keys].sort());
        await early.atLeast(await store.txn([{ key: "\u{1f600}" }, { key: "\ufffe", value: "1" }, { key: "a" }]));
        const left = inOrder([...keys.filter((key) => key !== "\u{1f600}" && key !== "a"), "\ufffe"]);
        for (const map of [early, late]) expect([...map.keys()]).toEqual(left);
      });

      test("is what the store holds, after whatever came, read often or seldom", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const random = new Random(seed);
        const range = keyspace.range("in/", text);
        const often = await range.live();
        const seldom = await range.live();
        for (let i = 0; i < 80; i++) {
          const operations = new Map<string, RawOperation>();
          for (let n = random.below(6); n >= 0; n--) {
            const key = `in/${String.fromCodePoint(random.pick([0x61, 0xe9, 0xe000, 0xfffd, 0x1f600]) + random.below(4))}`;
            operations.set(key, random.below(3) === 0 ? { key } : { key, value: `${random.below(5)}` });
          }
          const revision = await store.txn([...operations.values()]);
          const maps = random.below(8) === 0 ? [often, seldom] : [often];
          const held = await store.all();
          using joiner = await range.live();
          for (const map of [...maps, joiner]) {
            await map.atLeast(revision);
            expect([...map]).toEqual(inOrder(held.keys()).map((key) => [key, held.get(key)!.value]));
            expect(map.size).toBe(held.size);
          }
        }
        for (const map of [often, seldom]) map.close();
      });

      test("K10 fresh: is as new as any write that ended before it was asked for, whoever wrote", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const range = keyspace.range("", text);
        using held = await range.live();
        for (let i = 0; i < 30; i++) {
          const revision = await store.put("a", `${i}`);
          using map = await range.live();
          expect(map.get("a")).toBe(`${i}`);
          expect(map.revision).toBeGreaterThanOrEqual(revision);
          // They are views of the same.
          expect(held.get("a")).toBe(`${i}`);
        }
      });

      test("K10 shared: values are decoded once for all maps and watchers of a range", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        await store.put("a", "1");
        let decoded = 0;
        const range = keyspace.range("", () => ({ number: ++decoded }));
        using watcher = range.watch();
        const maps = await Promise.all(Array.from({ length: 5 }, () => range.live()));
        const value = maps[0]!.get("a");
        for (const map of maps) {
          expect([map.get("a"), [...map.values()][0], map.snapshot().get("a")]).toEqual([value, value, value]);
          expect(map.get("a")).toBe(value);
        }
        expect(await watcher.get()).toMatchObject({ value: { number: 1 } });
        expect(decoded).toBe(1);
        for (const map of maps) map.close();
      });
    });

    describe("while the store changes", () => {
      test("K4 whole revisions: at any moment it is a state that the store has been in", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const random = new Random(seed + 1);
        const accounts = 12;
        const balances = Array.from({ length: accounts }, () => 100);
        const keyOf = (account: number): string => `accounts/${account}`;
        await store.txn(balances.map((value, account) => ({ key: keyOf(account), value: `${value}` })));
        const range = keyspace.range("accounts/", json<number>());
        using map = await range.live();
        let last = 0;
        const states = new Set<number>();
        const check = (of: LiveMap<number>): void => {
          const values = [...of.values()];
          expect(values.reduce((sum, value) => sum + value, 0)).toBe(accounts * 100);
          expect(values).toHaveLength(of.size);
          expect([...of.keys()]).toEqual(inOrder(of.keys()));
          let sum = 0;
          for (let account = 0; account < accounts; account++) {
            expect(of.has(keyOf(account))).toBe(of.get(keyOf(account)) !== undefined);
            sum += of.get(keyOf(account)) ?? 0;
          }
          expect(sum).toBe(accounts * 100);
          expect(of.revision).toBeGreaterThanOrEqual(last);
          last = of.revision;
          states.add(last);
        };
        let done = false;
        const checking = (async () => {
          while (!done) {
            check(map);
            if (random.below(10) === 0) {
              using joiner = await range.live();
              check(joiner);
            }
            await (random.below(2) === 0 ? turn() : microtasks(random.below(20)));
          }
        })();
        const moved = new Random(seed + 2);
        for (let i = 0; i < 300; i++) {
          const from = moved.below(accounts);
          const to = (from + 1 + moved.below(accounts - 1)) % accounts;
          // Now and then all of it: an account that holds nothing is no key.
          const amount = moved.below(3) === 0 ? balances[from]! : moved.below(10);
          balances[from]! -= amount;
          balances[to]! += amount;
          const revision = await store.txn(
            [from, to].map((account): RawOperation =>
              balances[account] === 0
                ? { key: keyOf(account) }
                : { key: keyOf(account), value: `${balances[account]}` },
            ),
          );
          if (i % 10 === 0) {
            await map.atLeast(revision);
            check(map);
          }
        }
        done = true;
        await checking;
        await map.atLeast(await store.revision());
        expect(balances.map((_, account) => map.get(keyOf(account)) ?? 0)).toEqual(balances);
        expect(states.size).toBeGreaterThan(20);
      });

      test("a pass over it that is interrupted goes on: with newer values, without what is gone, in order", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        for (const key of ["a", "c", "e", "g"]) await store.put(key, "1");
        using map = await keyspace.range("", text).live();
        const passing = map.entries();
        expect(passing.next().value).toEqual(["a", "1"]);
        await map.atLeast(
          await store.txn([{ key: "a" }, { key: "c", value: "2" }, { key: "e" }, { key: "b", value: "2" }]),
        );
        expect([...map]).toEqual([
          ["b", "2"],
          ["c", "2"],
          ["g", "1"],
        ]);
        const rest = [...passing];
        expect(rest.map(([key]) => key)).toEqual(inOrder(rest.map(([key]) => key)));
        expect(rest).toContainEqual(["c", "2"]);
        expect(rest).toContainEqual(["g", "1"]);
        expect(rest.map(([key]) => key)).not.toContain("e");
      });

      test("snapshot() is a copy that stays, and is in order", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        await store.put("b", "1");
        await store.put("a", "1");
        using map = await keyspace.range("", text).live();
        const before = map.snapshot();
        await map.atLeast(await store.txn([{ key: "a", value: "2" }, { key: "b" }, { key: "c", value: "2" }]));
        expect([...before]).toEqual([
          ["a", "1"],
          ["b", "1"],
        ]);
        expect([...map.snapshot()]).toEqual([
          ["a", "2"],
          ["c", "2"],
        ]);
        map.close();
        expect(before.get("b")).toBe("1");
      });

      test("K8 bad data is local: keys that are rejected are absent, and listed as invalid", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        await store.put("a", "1");
        const bad = await store.put("b", "{bad");
        await store.put("c", "3");
        using map = await keyspace.range("", json<number>()).live();
        const expectInvalid = (...keys: string[]): void => {
          expect([...map.invalid.keys()].sort()).toEqual(keys);
          for (const key of keys) {
            expect(map.invalid.get(key)).toMatchObject({ code: "EV_DECODE", key });
            expect([map.has(key), map.get(key)]).toEqual([false, undefined]);
            expect([...map.keys()]).not.toContain(key);
          }
          expect(map.size).toBe([...map].length);
        };
        expectInvalid("b");
        expect(map.invalid.get("b")).toMatchObject({ revision: bad, bytes: new TextEncoder().encode("{bad") });
        expect([...map]).toEqual([
          ["a", 1],
          ["c", 3],
        ]);
        await map.atLeast(await store.put("b", "2"));
        expectInvalid();
        expect(map.get("b")).toBe(2);
        await map.atLeast(
          await store.txn([
            { key: "a", value: "{" },
            { key: "b", value: "{" },
            { key: "d", value: "{" },
          ]),
        );
        expectInvalid("a", "b", "d");
        await map.atLeast(await store.txn([{ key: "a" }, { key: "b", value: "7" }]));
        expectInvalid("d");
        expect([...map]).toEqual([
          ["b", 7],
          ["c", 3],
        ]);
        await map.atLeast(await store.delete("d"));
        expectInvalid();
      });

      test("K6 spurious updates are dropped, and their revision is recorded", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        await store.put("a", "same");
        const range = keyspace.range("", text);
        using map = await range.live();
        using watcher = map.watch();
        await watcher.get();
        const revision = await store.put("a", "same");
        await map.atLeast(revision);
        expect(map.revision).toBe(revision);
        expect(await codeOf(watcher.get(backlog))).toBe("EV_BACKLOG_DONE");
        await range.set("a", "next", { ifRevision: revision });
        expect(await watcher.get()).toMatchObject({ changes: [{ value: "next" }] });
      });
    });

    describe("atLeast", () => {
      test("has what was written, by whomever, when it resolves; resolves with the map", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const range = keyspace.range("in/", json<number>());
        using map = await range.live();
        for (let i = 0; i < 20; i++) {
          const own = await range.set("in/a", i);
          expect(await map.atLeast(own.revision)).toBe(map);
          expect(map.get("in/a")).toBe(i);
          const both = await keyspace.transaction([
            put(keyspace.value("in/b", json<number>()), i),
            put(keyspace.value("out", json<number>()), i),
          ]);
          await map.atLeast(both.revision);
          expect(map.get("in/b")).toBe(i);
          await map.atLeast(await store.delete("in/a"));
          expect(map.has("in/a")).toBe(false);
          expect(map.revision).toBeGreaterThan(both.revision);
        }
      });

      test("is reached by revisions that only touched other keys, or none", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        using map = await keyspace.range("in/", text).live();
        for (let i = 0; i < 5; i++) {
          const revision = await store.put("out", `${i}`);
          await map.atLeast(revision);
          expect(map.revision).toBeGreaterThanOrEqual(revision);
        }
        const { revision } = await keyspace.transaction([]);
        await map.atLeast(revision);
        expect(map.size).toBe(0);
      });

      test("of what it has is there at once; 0 is always there", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const revision = await store.put("a", "1");
        using map = await keyspace.range("", text).live();
        for (const reached of [0, 1, revision]) {
          const outcome = observe(map.atLeast(reached));
          await microtasks(10);
          expect(outcome()).toMatchObject({ state: "fulfilled" });
        }
      });

      test("of a revision that is to come waits for it", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const range = keyspace.range("in/", text);
        using map = await range.live();
        const revision = (await store.revision()) + 3;
        const waiting = map.atLeast(revision);
        const outcome = observe(waiting);
        await store.put("out", "1");
        await store.put("in/a", "2");
        await syncedRange(range);
        expect(map.get("in/a")).toBe("2");
        expect(outcome()).toEqual({ state: "pending" });
        expect(await store.put("out", "3")).toBe(revision);
        expect(await waiting).toBe(map);
        expect(map.revision).toBe(revision);
      });

      test("rejects with the reason of its signal, and with EV_CLOSED when the map is closed", async () => {
        await using subject = await open();
        const range = subject.keyspace.range("", text);
        const map = await range.live();
        using other = await range.live();
        const controller = new AbortController();
        const future = (await subject.store.revision()) + 1;
        expect(await rejection(map.atLeast(0, { signal: AbortSignal.abort("before") }))).toBe("before");
        const aborted = map.atLeast(future, { signal: controller.signal });
        const closed = map.atLeast(future);
        const both = map.atLeast(future, { signal: new AbortController().signal });
        const going = other.atLeast(future);
        await turn();
        controller.abort("enough");
        expect(await rejection(aborted)).toBe("enough");
        const outcomes = [observe(closed), observe(both)];
        map.close();
        await turn();
        // At once, not when it would have been looked at again.
        for (const outcome of outcomes) expect(outcome()).toEqual({ state: "rejected", reason: closedError });
        expect(await codeOf(map.atLeast(0))).toBe("EV_CLOSED");
        await subject.store.put("a", "1");
        expect((await going).get("a")).toBe("1");
      });
    });

    describe("watch", () => {
      test("gives the whole state as a snapshot, then updates", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        await store.put("a", "1");
        const revision = await store.put("b", "1");
        using map = await keyspace.range("", text).live();
        using watcher = map.watch();
        expect(await watcher.get()).toMatchObject({
          type: "snapshot",
          revision,
          changes: [{ key: "a" }, { key: "b" }],
        });
        expect(await codeOf(watcher.get(backlog))).toBe("EV_BACKLOG_DONE");
        const changed = await store.txn([{ key: "a" }, { key: "c", value: "1" }]);
        const batch = await watcher.get();
        expect(batch).toMatchObject({ type: "update", revision: changed });
        expect(new Map(batch.changes.map(({ type, key }) => [key, type]))).toEqual(
          new Map([
            ["a", "delete"],
            ["c", "put"],
          ]),
        );
        // A later watcher begins with all there is, whatever others were told.
        using later = map.watch();
        expect(await later.get()).toMatchObject({ type: "snapshot", changes: [{ key: "b" }, { key: "c" }] });
      });

      test("of an empty range begins with an empty snapshot", async () => {
        await using subject = await open();
        using map = await subject.keyspace.range("", text).live();
        using watcher = map.watch();
        expect(await watcher.get()).toMatchObject({ type: "snapshot", changes: [] });
        expect(await codeOf(watcher.get(backlog))).toBe("EV_BACKLOG_DONE");
      });

      test("the map is never behind what a watcher was given, at the very moment it is given", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const random = new Random(seed + 3);
        using map = await keyspace.range("", text).live();
        // A store may bring a new watch up to date only now and then, and send each change at once from then on.
        using first = map.watch();
        for (let i = 0; i < 3; i++) {
          await first.get();
          await store.put("first", `${i}`);
        }
        let given = 0;
        const consumers = [0, 3].map(async (pauses) => {
          using watcher = map.watch();
          const known = new Map<string, string>();
          const apply = ({ changes }: Batch<string>): void => {
            for (const change of changes) {
              if (change.type === "put") known.set(change.key, change.value);
              else known.delete(change.key);
            }
          };
          while (!known.has("end")) {
            // A filter is asked at the moment of delivery.
            await watcher.get({
              filter: (batch) => {
                apply(batch);
                given++;
                expect(map.revision).toBeGreaterThanOrEqual(batch.revision);
                if (map.revision === batch.revision) expect(map.snapshot()).toEqual(known);
                return true;
              },
            });
            for (let i = 0; i < pauses; i++) await turn();
          }
        });
        for (let i = 0; i < 150; i++) {
          const key = `${random.below(6)}`;
          await (random.below(3) === 0 ? store.delete(key) : store.put(key, `${i}`));
        }
        await store.put("end", "1");
        await Promise.all(consumers);
        expect(given).toBeGreaterThan(4);
      });

      test("is ended by its signal, its close and that of its map, and by no other's", async () => {
        await using subject = await open();
        const range = subject.keyspace.range("", text);
        const map = await range.live();
        using other = await range.live();
        const controller = new AbortController();
        using aborting = map.watch({ signal: controller.signal });
        using closing = map.watch();
        using mapped = map.watch();
        using idle = map.watch();
        using staying = other.watch();
        for (const watcher of [aborting, closing, mapped, staying]) await watcher.get();
        const gets = [aborting.get(), closing.get(), mapped.get(), staying.get()] as const;
        controller.abort("enough");
        closing.close();
        expect(await rejection(gets[0])).toBe("enough");
        expect(await codeOf(gets[1])).toBe("EV_CLOSED");
        const loop = (async () => {
          for await (const { type } of map.watch()) expect(type).toBe("snapshot");
          return "ended";
        })();
        await synced(map);
        map.close();
        expect(await codeOf(gets[2])).toBe("EV_CLOSED");
        expect(await codeOf(idle.get())).toBe("EV_CLOSED");
        expect(await loop).toBe("ended");
        await subject.store.put("a", "1");
        expect(await gets[3]).toMatchObject({ changes: [{ key: "a" }] });
        expect(() => map.watch()).toThrow(closedError);
      });
    });

    describe("is closed", () => {
      test("for good: it throws EV_CLOSED, and others of the same range go on", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        await store.put("a", "1");
        const range = keyspace.range("", text);
        const map = await range.live();
        const others = await Promise.all([range.live(), range.live()]);
        map.close();
        map.close();
        const uses: Record<string, () => unknown> = {
          size: () => map.size,
          revision: () => map.revision,
          invalid: () => map.invalid,
          has: () => map.has("a"),
          get: () => map.get("a"),
          keys: () => [...map.keys()],
          values: () => [...map.values()],
          entries: () => [...map.entries()],
          iterator: () => [...map],
          forEach: () => map.forEach(() => {}),
          snapshot: () => map.snapshot(),
          watch: () => map.watch(),
        };
        for (const [name, use] of Object.entries(uses)) expect(use, name).toThrow(closedError);
        expect(await codeOf(map.atLeast(1))).toBe("EV_CLOSED");
        for (const other of others) {
          await other.atLeast(await store.put("b", "1"));
          expect([...other.keys()]).toEqual(["a", "b"]);
        }
        // The last of them, and then a new one.
        for (const other of others) other.close();
        await store.put("c", "1");
        using again = await range.live();
        expect([...again.keys()]).toEqual(["a", "b", "c"]);
      });

      test("by its scope", async () => {
        await using subject = await open();
        let left: LiveMap<string>;
        {
          using map = await subject.keyspace.range("", text).live();
          left = map;
          expect(left.size).toBe(0);
        }
        expect(() => left.size).toThrow(closedError);
      });

      test("stays as it was where only the keyspace is closed", async () => {
        await using subject = await open();
        const keyspace = subject.another();
        await subject.store.put("a", "1");
        const range = keyspace.range("", json<number>());
        using map = await range.live();
        using watcher = map.watch();
        await watcher.get();
        const waiting = [watcher.get(), map.atLeast((await subject.store.revision()) + 1), range.live()].map(codeOf);
        const { revision } = map;
        await keyspace.close();
        expect((await Promise.all(waiting)).slice(0, 2)).toEqual(["EV_CLOSED", "EV_CLOSED"]);
        await subject.store.put("a", "2");
        await subject.store.put("b", "2");
        expect([map.revision, map.size, [...map]]).toEqual([revision, 1, [["a", 1]]]);
        expect(await map.atLeast(revision)).toBe(map);
        expect(await codeOf(map.atLeast(revision + 1))).toBe("EV_CLOSED");
        expect(await codeOf(range.live())).toBe("EV_CLOSED");
        expect(() => map.watch()).toThrow(closedError);
        map.close();
        expect(() => map.size).toThrow(closedError);
      });
    });

    test("is opened by many at once, of whom some give up: the others have it, and nothing is left", async () => {
      await using subject = await open();
      const { keyspace, store } = subject;
      const random = new Random(seed + 4);
      await store.put("a", "0");
      const range = keyspace.range("", text);
      for (let round = 0; round < 8; round++) {
        const revision = await store.put("a", `${round}`);
        const opening = Array.from({ length: 12 }, async () => {
          const controller = new AbortController();
          const map = range.live({ signal: controller.signal });
          if (random.below(2) === 0) {
            for (let i = random.below(20); i > 0; i--) await (random.below(4) === 0 ? turn() : Promise.resolve());
            controller.abort("enough");
          }
          try {
            using opened = await map;
            // The signal is of the opening alone.
            controller.abort("late");
            expect(opened.get("a")).toBe(`${round}`);
            expect(opened.revision).toBeGreaterThanOrEqual(revision);
            await turn();
            expect([...opened]).toEqual([["a", `${round}`]]);
            return "opened";
          } catch (error) {
            if (isEventValueError(error) || error instanceof Error) throw error;
            return error;
          }
        });
        const outcomes = new Set(await Promise.all(opening));
        expect([...outcomes].filter((outcome) => outcome !== "opened" && outcome !== "enough")).toEqual([]);
      }
      const controller = new AbortController();
      const aborted = range.live({ signal: controller.signal });
      controller.abort("enough");
      expect(await rejection(aborted)).toBe("enough");
      using map = await range.live();
      expect(map.get("a")).toBe("7");
    });
  });
}
