/** Single keys: what is absent, what is empty, what is written, and what cannot be decoded. */
import { describe, expect, test } from "vitest";
import { bytes, type Codec, json, type KeyUpdate, text, type Watcher } from "../../src/index.ts";
import { codeOf, observe, rejection, turn } from "../support/promises.ts";
import { type Backend, backlog, synced } from "./keyspace-backend.ts";

const key = "key";

export function describeKeys({ open }: Backend): void {
  describe("a key", () => {
    describe("that is absent", () => {
      test("K1 absent waits: the first get waits for the first put", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const value = keyspace.value(key, text);
        using watcher = value.watch();
        const first = watcher.get();
        const outcome = observe(first);
        // A second watcher has been told that there is nothing, so the first one could have been.
        using other = value.watch();
        expect(await codeOf(other.get(backlog))).toBe("EV_BACKLOG_DONE");
        await turn();
        expect(outcome()).toEqual({ state: "pending" });
        await store.put(key, "here");
        expect(await first).toBe("here");
      });

      test("K1 absent waits: updates wait for the first put, also where there is a default", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const value = keyspace.value(key, text, { default: "none" });
        using watcher = value.updates.watch();
        expect(await codeOf(watcher.get(backlog))).toBe("EV_BACKLOG_DONE");
        const waiting = watcher.get();
        const revision = await store.put(key, "here");
        expect(await waiting).toEqual({ type: "put", key, value: "here", revision, createRevision: revision });
      });

      test.each([
        ["a value", "none"],
        ["undefined", undefined],
        ["null", null],
      ])("K1 default: %s is what the first get gives, and what a delete gives", async (_title, standIn) => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const codec = json<string | null | undefined>();
        const value = keyspace.value(key, codec, { default: standIn });
        using watcher = value.watch();
        expect(await watcher.get()).toBe(standIn);
        expect(await codeOf(watcher.get(backlog))).toBe("EV_BACKLOG_DONE");
        await store.put(key, '"here"');
        expect(await watcher.get()).toBe("here");
        await store.delete(key);
        expect(await watcher.get()).toBe(standIn);
        using late = value.watch();
        expect(await late.get(backlog)).toBe(standIn);
        expect(await codeOf(late.get(backlog))).toBe("EV_BACKLOG_DONE");
      });

      test("K1 default: what came and went unread is not told", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const value = keyspace.value(key, text, { default: "none" });
        using watcher = value.watch();
        expect(await watcher.get()).toBe("none");
        await store.put(key, "here");
        await store.delete(key);
        await synced(value);
        expect(await codeOf(watcher.get(backlog))).toBe("EV_BACKLOG_DONE");
      });

      test("K1 backlogOnly: gives what is there, and does not wait for what is not", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const value = keyspace.value(key, text);
        using absent = value.watch();
        using absentUpdates = value.updates.watch();
        expect(await codeOf(absent.get(backlog))).toBe("EV_BACKLOG_DONE");
        expect(await codeOf(absentUpdates.get(backlog))).toBe("EV_BACKLOG_DONE");
        const revision = await store.put(key, "here");
        using watcher = value.watch();
        expect(await watcher.get(backlog)).toBe("here");
        expect(await codeOf(watcher.get(backlog))).toBe("EV_BACKLOG_DONE");
        expect(await absent.get(backlog)).toBe("here");
        expect(await absentUpdates.get(backlog)).toMatchObject({ value: "here", revision });
      });

      test("K2 empty is not absent: absent, empty, absent are two updates", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const value = keyspace.value(key, bytes);
        using watcher = value.watch();
        using updates = value.updates.watch();
        using withDefault = keyspace.value(key, text, { default: "none" }).watch();
        expect(await withDefault.get()).toBe("none");
        const gets = [watcher.get(), updates.get()] as const;
        const created = await store.put(key, "");
        expect(await gets[0]).toEqual(new Uint8Array(0));
        expect(await gets[1]).toMatchObject({ type: "put", value: new Uint8Array(0), revision: created });
        expect(await withDefault.get()).toBe("");
        expect(await value.read()).toEqual({ value: new Uint8Array(0), revision: created, createRevision: created });
        const deleted = await store.delete(key);
        expect(await watcher.get()).toBe(undefined);
        expect(await updates.get()).toEqual({ type: "delete", key, revision: deleted });
        expect(await withDefault.get()).toBe("none");
        expect(await value.read()).toBe(undefined);
      });
    });

    describe("that is written", () => {
      test("C1 newest: catches up to the newest of 100 sets", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        await store.put(key, "0");
        const value = keyspace.value(key, json<number>());
        using watcher = value.watch();
        using updates = value.updates.watch();
        expect(await watcher.get()).toBe(0);
        expect(await updates.get()).toMatchObject({ value: 0 });
        let revision = 0;
        for (let i = 1; i <= 100; i++) ({ revision } = await value.set(i));
        await synced(value);
        expect(await watcher.get()).toBe(100);
        expect(await updates.get()).toMatchObject({ value: 100, revision });
        expect(await codeOf(watcher.get(backlog))).toBe("EV_BACKLOG_DONE");
        expect(await codeOf(updates.get(backlog))).toBe("EV_BACKLOG_DONE");
      });

      test("C1 newest: sees values in the order they were set, and the last one, while they are set", async () => {
        await using subject = await open();
        const { keyspace } = subject;
        const value = keyspace.value(key, json<number>());
        using watcher = value.watch();
        // The store brings a watch up to date ten times a second; from then on it sends each change at once.
        await value.set(-1);
        await watcher.get();
        await value.set(0);
        const seen: number[] = [(await watcher.get())!];
        const consumer = (async () => {
          for await (const now of watcher) {
            seen.push(now!);
            if (now === 300) break;
          }
        })();
        const writes: Promise<unknown>[] = [];
        for (let i = 1; i <= 300; i++) {
          writes.push(value.set(i));
          if (i % 10 === 0) await Promise.all(writes.splice(0));
        }
        await value.set(300);
        await consumer;
        // Ten at a time may overtake each other on their way to the store; whole tens may not.
        const tens = seen.map((i) => Math.ceil(i / 10));
        expect(tens).toEqual([...tens].sort((a, b) => a - b));
        expect(seen.length).toBeGreaterThan(2);
      });

      test("C3 first get: gives the value there is, and the newest of those set between watch and get", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        await store.put(key, "0");
        const value = keyspace.value(key, text);
        using early = value.watch();
        expect(await early.get()).toBe("0");
        using watcher = value.watch();
        await store.put(key, "1");
        await store.put(key, "2");
        expect(await watcher.get()).toBe("2");
        expect(await codeOf(watcher.get(backlog))).toBe("EV_BACKLOG_DONE");
      });

      test("C6 one get at a time: a second one is refused, the pending one untouched", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        using watcher = keyspace.value(key, text).watch();
        const first = watcher.get();
        expect(await codeOf(watcher.get())).toBe("EV_CONCURRENT_GET");
        await store.put(key, "1");
        expect(await first).toBe("1");
      });

      test("C7 cancel: an aborted first get took nothing, whenever the abort came", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        await store.put(key, "0");
        const value = keyspace.value(key, text);
        for (const delay of [0, 1, 3, 10, 30]) {
          using watcher = value.watch();
          const controller = new AbortController();
          const get = watcher.get({ signal: controller.signal });
          for (let i = 0; i < delay; i++) await turn();
          controller.abort("enough");
          const got = await get.catch((reason: unknown) => {
            expect(reason).toBe("enough");
            return watcher.get();
          });
          expect(got).toBe("0");
          expect(await codeOf(watcher.get(backlog))).toBe("EV_BACKLOG_DONE");
        }
      });

      test("C8 close: ends a pending get, and other watchers go on", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const value = keyspace.value(key, text);
        const controller = new AbortController();
        using closing = value.watch();
        using aborting = value.watch({ signal: controller.signal });
        using staying = value.watch();
        const gets = [closing.get(), aborting.get(), staying.get()] as const;
        closing.close();
        controller.abort("enough");
        expect(await codeOf(gets[0])).toBe("EV_CLOSED");
        expect(await rejection(gets[1])).toBe("enough");
        await store.put(key, "1");
        expect(await gets[2]).toBe("1");
        expect(await codeOf(closing.get())).toBe("EV_CLOSED");
      });

      test("C9 iteration: yields what get() would, and ends when the keyspace closes", async () => {
        await using subject = await open();
        const { keyspace } = subject;
        const value = keyspace.value(key, json<number>());
        await value.set(0);
        const seen: (number | undefined)[] = [];
        for await (const now of value.watch()) {
          seen.push(now);
          if (now === 3) await value.delete();
          else if (now === undefined) await keyspace.close();
          else await value.set(now + 1);
        }
        expect(seen).toEqual([0, 1, 2, 3, undefined]);
      });

      test("updates tell the revisions, which are those that the writes were answered with", async () => {
        await using subject = await open();
        const { keyspace } = subject;
        const value = keyspace.value(key, text);
        using watcher = value.updates.watch();
        const next = (): Promise<KeyUpdate<string>> => watcher.get();

        const first = await value.set("a");
        expect(await next()).toEqual({
          type: "put",
          key,
          value: "a",
          revision: first.revision,
          createRevision: first.revision,
        });
        const second = await value.set("b");
        expect(second.revision).toBeGreaterThan(first.revision);
        expect(await next()).toEqual({
          type: "put",
          key,
          value: "b",
          revision: second.revision,
          createRevision: first.revision,
        });
        const gone = await value.delete();
        expect(gone.deleted).toBe(true);
        expect(await next()).toEqual({ type: "delete", key, revision: gone.revision });
        const again = await value.set("b");
        expect(await next()).toEqual({
          type: "put",
          key,
          value: "b",
          revision: again.revision,
          createRevision: again.revision,
        });
        expect(await value.read()).toEqual({ value: "b", revision: again.revision, createRevision: again.revision });
      });

      test("K10 fresh: a first get is as new as any write that ended before it, whoever wrote", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const value = keyspace.value(key, text);
        const range = keyspace.range("", text);
        using held = value.watch();
        using _ = range.watch();
        for (let i = 0; i < 50; i++) {
          // Opened before the write: what counts is the get.
          using watcher = value.watch();
          using updates = value.updates.watch();
          using batches = range.watch();
          const revision = await store.put(key, `${i}`);
          const gets = [watcher.get(), updates.get(), batches.getBatch(), held.get()] as const;
          expect(await gets[0]).toBe(`${i}`);
          expect(await gets[1]).toMatchObject({ value: `${i}`, revision });
          expect(await gets[2]).toMatchObject({ type: "snapshot", changes: [{ value: `${i}`, revision }] });
          expect(await gets[3]).toBe(`${i}`);
        }
      });

      test("read() is as new as any write that ended before it, whoever wrote", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const value = keyspace.value(key, text, { default: "none" });
        expect(await value.read()).toBe(undefined);
        for (let i = 0; i < 50; i++) {
          const revision = await store.put(key, `${i}`);
          expect(await value.read()).toMatchObject({ value: `${i}`, revision });
        }
      });

      test("K6 spurious updates are dropped: a write of the same bytes is not told, a re-creation with them is", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const value = keyspace.value(key, text);
        await store.put(key, "same");
        using watcher = value.watch();
        using updates = value.updates.watch();
        await Promise.all([watcher.get(), updates.get()]);
        const rewritten = await store.put(key, "same");
        using late = value.updates.watch();
        expect(await late.get()).toMatchObject({ value: "same", revision: rewritten });
        expect(await codeOf(watcher.get(backlog))).toBe("EV_BACKLOG_DONE");
        expect(await codeOf(updates.get(backlog))).toBe("EV_BACKLOG_DONE");
        await store.delete(key);
        const created = await store.put(key, "same");
        await synced(value);
        expect(await updates.get(backlog)).toMatchObject({ type: "put", revision: created, createRevision: created });
        expect(await watcher.get(backlog)).toBe("same");
      });

      test.each([
        ["é"],
        ["日本/語"],
        ["😀"],
        ["with space and \n line"],
        ["a\0b"],
        ["\uFFFD"],
        ["\uFEFFbom"],
        ["x".repeat(2000)],
      ])("the key %j is written, read and watched", async (key) => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const value = keyspace.value(key, text);
        using watcher = value.updates.watch();
        const { revision } = await value.set("here");
        expect(await watcher.get()).toEqual({ type: "put", key, value: "here", revision, createRevision: revision });
        expect(await store.get(key)).toMatchObject({ value: "here", revision });
      });
    });

    describe("that cannot be decoded", () => {
      test("K8 bad data is local: the get rejects with EV_DECODE, and the watcher goes on", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        const value = keyspace.value(key, json<number>());
        const watchers: Watcher<unknown>[] = [value.watch(), value.updates.watch()];
        const gets = watchers.map((watcher) => watcher.get());
        const outcomes = Promise.all(gets.map(rejection));
        const revision = await store.put(key, "{bad");
        for (const error of await outcomes) {
          expect(error).toMatchObject({ code: "EV_DECODE", key, revision });
          expect(error).toHaveProperty("bytes", new TextEncoder().encode("{bad"));
          expect((error as Error).cause).toBeInstanceOf(SyntaxError);
          expect((error as Error).message).toContain(JSON.stringify(key));
        }
        for (const watcher of watchers) expect(await codeOf(watcher.get(backlog))).toBe("EV_BACKLOG_DONE");
        expect(await rejection(value.read())).toMatchObject({ code: "EV_DECODE", key, revision });
        await store.put(key, "1");
        expect(await watchers[0]!.get()).toBe(1);
        expect(await watchers[1]!.get()).toMatchObject({ value: 1 });
        await store.put(key, "{worse");
        expect(await codeOf(watchers[0]!.get())).toBe("EV_DECODE");
        await store.delete(key);
        expect(await watchers[0]!.get()).toBe(undefined);
        for (const watcher of watchers) watcher.close();
      });

      test("K8 bad data is local: every watcher is told, also one that opens on it", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        await store.put(key, "{bad");
        const value = keyspace.value(key, json<number>(), { default: 0 });
        for (let i = 0; i < 3; i++) {
          using watcher = value.watch();
          expect(await codeOf(watcher.get())).toBe("EV_DECODE");
          expect(await codeOf(watcher.get(backlog))).toBe("EV_BACKLOG_DONE");
        }
      });

      test("K8 bad data is local: whatever the decoder throws is the cause, and a promise it returns is refused", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        await store.put(key, "1");
        const thrown = { any: "thing" };
        using throwing = keyspace
          .value(key, () => {
            throw thrown;
          })
          .watch();
        expect(await rejection(throwing.get())).toMatchObject({ code: "EV_DECODE", key, cause: thrown });
        using promising = keyspace.value(key, () => Promise.resolve(1)).watch();
        const error = await rejection(promising.get());
        expect(error).toMatchObject({ code: "EV_DECODE", key });
        expect((error as Error).cause).toBeInstanceOf(TypeError);
      });

      test("K8 bad data is local: update() rejects with EV_DECODE and writes nothing", async () => {
        await using subject = await open();
        const { keyspace, store } = subject;
        await store.put(key, "{bad");
        const value = keyspace.value(key, json<number>());
        expect(await rejection(value.update(() => 1))).toMatchObject({ code: "EV_DECODE", key });
        expect(await store.get(key)).toMatchObject({ value: "{bad" });
      });
    });

    test("a bare decode function gives the reading side alone", async () => {
      await using subject = await open();
      const { keyspace, store } = subject;
      await store.put(key, "abc");
      const decode = (stored: Uint8Array, of: string): string => `${of}: ${stored.length}`;
      const value = keyspace.value(key, decode, { default: "none" });
      for (const name of ["set", "update", "delete"]) expect(value).not.toHaveProperty(name);
      using watcher = value.watch();
      expect(await watcher.get()).toBe("key: 3");
      expect(await value.read()).toMatchObject({ value: "key: 3" });
      await store.delete(key);
      expect(await watcher.get()).toBe("none");
    });

    test("K10 shared: what is decoded once serves all watchers", async () => {
      await using subject = await open();
      const { keyspace, store } = subject;
      await store.put(key, "abc");
      let decoded = 0;
      const value = keyspace.value(key, (stored) => ({ length: stored.length, number: ++decoded }));
      const watchers = Array.from({ length: 10 }, () => value.watch());
      const got = await Promise.all(watchers.map((watcher) => watcher.get()));
      expect(new Set(got)).toEqual(new Set([{ length: 3, number: 1 }]));
      for (const watcher of watchers) watcher.close();
    });

    test("a codec is asked with the key, as the object it is", async () => {
      await using subject = await open();
      const { keyspace } = subject;
      class Suffixed implements Codec<string> {
        readonly #suffix = "!";
        decode(stored: Uint8Array, of: string): string {
          return `${of} ${text.decode(stored, of)}${this.#suffix}`;
        }
        encode(value: string, of: string): Uint8Array {
          return text.encode(`${of} ${value}${this.#suffix}`, of);
        }
      }
      const value = keyspace.value(key, new Suffixed());
      await value.set("x");
      expect(await value.read()).toMatchObject({ value: "key key x!!" });
    });
  });
}
