/** What is left of a keyspace that is closed: nothing (K12). */
import { getEventListeners } from "node:events";
import { describe, expect, test, vi } from "vitest";
import { json, put, text, type Watcher } from "../../src/index.ts";
import { codeOf, turn } from "../support/promises.ts";
import type { Backend } from "./keyspace-backend.ts";

export function describeClosing({ open }: Backend): void {
  describe("closing", () => {
    test("K12 clean: closing ends pending gets, loops and calls with EV_CLOSED, and refuses what comes after", async () => {
      await using subject = await open();
      const { keyspace } = subject;
      const value = keyspace.value("key", json<number>());
      const range = keyspace.range("", json<number>());
      const waiting: Watcher<unknown>[] = [value.watch(), value.updates.watch(), range.watch()];
      const idle = value.watch();
      const fresh = range.watch();
      const looping = (async () => {
        for await (const now of value.watch()) expect.fail(`yielded ${now}`);
        for await (const batch of range.watch({ signal: new AbortController().signal }).batches())
          expect.fail(String(batch));
        return "ended";
      })().catch((error: { code: unknown }) => error.code);
      const gets = waiting.map((watcher) => codeOf(watcher.get()));
      // The range's watcher may be given the other key before.
      gets[2]!.catch(() => {});
      await keyspace.value("other", json<number>()).set(1);
      const closed = Promise.all([keyspace.close(), keyspace.close()]);
      expect(() => value.watch()).toThrow(expect.objectContaining({ code: "EV_CLOSED" }));
      await closed;
      for (const code of await Promise.all(gets.slice(0, 2))) expect(code).toBe("EV_CLOSED");
      await Promise.allSettled(gets);
      // The first loop ended as a loop does, the second could not begin.
      expect(await looping).toBe("EV_CLOSED");
      expect(await codeOf(idle.get())).toBe("EV_CLOSED");
      expect(await codeOf(fresh.getBatch())).toBe("EV_CLOSED");
      expect(await codeOf(fresh.getBatch({ backlogOnly: true }))).toBe("EV_CLOSED");
      for (const act of [
        () => value.watch(),
        () => value.updates.watch(),
        () => range.watch(),
        () => keyspace.status.watch(),
      ]) {
        expect(act).toThrow(expect.objectContaining({ code: "EV_CLOSED" }));
      }
      for (const call of [
        value.read(),
        range.read(),
        value.set(1),
        value.delete(),
        value.update(() => 1),
        keyspace.lease({ ttlMs: 5000 }),
        range.live(),
        keyspace.transaction([put(value, 1)]),
        keyspace.election("e").campaign("me"),
      ]) {
        expect(await codeOf(call)).toBe("EV_CLOSED");
      }
      for (const watcher of [...waiting, idle, fresh]) watcher.close();
      await keyspace.close();
    });

    test("K12 clean: one signal for thousands of calls and watchers keeps no listener, and causes no warning", async () => {
      const warnings: Error[] = [];
      const onWarning = (warning: Error): void => void warnings.push(warning);
      process.on("warning", onWarning);
      await using subject = await open();
      const { keyspace } = subject;
      const { signal } = new AbortController();
      const value = keyspace.value("key", json<number>());
      const range = keyspace.range("", json<number>());
      // What others watch does not begin anew each time.
      using _ = value.watch();
      using __ = range.watch();
      for (let round = 0; round < 20; round++) {
        const watchers = Array.from({ length: 30 }, () => value.watch({ signal }));
        await value.set(round, { signal });
        await Promise.all([
          ...watchers.map((watcher) => watcher.get({ signal })),
          ...Array.from({ length: 20 }, () => value.read({ signal })),
          range.read({ signal }),
          value.update((current) => current! + 1, { signal }),
        ]);
        using batches = range.watch({ signal });
        await batches.getBatch({ signal });
        using status = keyspace.status.watch({ signal });
        await status.get({ signal });
        using live = await range.live({ signal });
        const { revision } = await keyspace.transaction([put(value, round)], { signal });
        await live.atLeast(revision, { signal });
        using ofLive = live.watch({ signal });
        await ofLive.get({ signal });
        for (const watcher of watchers) watcher.close();
      }
      await vi.waitFor(() => expect(getEventListeners(signal, "abort")).toHaveLength(0));
      process.off("warning", onWarning);
      expect(warnings).toEqual([]);
    });

    test("K12 clean: calls and gets that were dropped are no unhandled rejections", async () => {
      const subject = await open();
      const { keyspace, store } = subject;
      const value = keyspace.value("key", json<number>());
      const range = keyspace.range("", json<number>());
      await store.put("key", "{bad");
      using live = await range.live();
      const election = keyspace.election("e");
      const signal = AbortSignal.abort("before");
      const watchers: Watcher<unknown>[] = [value.watch(), range.watch(), live.watch(), election.leader.watch()];
      for (const watcher of watchers) {
        void watcher.get();
        void watcher.get();
        void watcher[Symbol.asyncIterator]().next();
        void watcher.get({ signal });
      }
      void range.watch().getBatch({ signal });
      void value.read();
      void value.read({ signal });
      void range.read({ signal });
      void range.live({ signal });
      void live.atLeast(2 ** 50);
      void live.atLeast(2 ** 50, { signal });
      void keyspace.lease({ ttlMs: 5000, signal });
      void election.campaign("me", { signal });
      await turn();
      void election.campaign("me");
      void keyspace.lease({ ttlMs: 5000 });
      await subject[Symbol.asyncDispose]();
      void range.live();
      void live.atLeast(2 ** 50);
      void value.read();
      void keyspace.lease({ ttlMs: 5000 });
      void election.campaign("me");
      // The run fails on what is not handled by then.
      await turn();
    });

    test("K9 the status is live once the store was reached, and closed at last", async () => {
      await using subject = await open();
      const keyspace = subject.another();
      const revision = await subject.store.put("key", "1");
      using status = keyspace.status.watch();
      const live = await status.get({ filter: ({ state }) => state === "live" });
      if (live.state !== "live") throw new Error(live.state);
      expect(live.revision).toBeGreaterThan(0);
      const { revision: written } = await keyspace.value("key", text).set("2");
      expect(written).toBeGreaterThan(revision);
      const ended = status.get({ filter: ({ state }) => state === "closed" });
      await keyspace.close();
      expect(await ended).toEqual({ state: "closed" });
      expect(await codeOf(status.get())).toBe("EV_CLOSED");
    });

    test("closing one keyspace leaves the others of the same keys as they are", async () => {
      await using subject = await open();
      const { keyspace } = subject;
      const other = subject.another();
      await other.value("theirs", text).set("1");
      using watcher = keyspace.range("", text).watch();
      await watcher.getBatch();
      using live = await keyspace.range("", text).live();
      await other.close();
      const { revision } = await keyspace.value("mine", text).set("1");
      expect(await watcher.getBatch()).toMatchObject({ revision, changes: [{ key: "mine" }] });
      await live.atLeast(revision);
      expect([...live.keys()]).toEqual(["mine", "theirs"]);
    });
  });
}
