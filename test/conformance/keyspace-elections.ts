/** Elections: one leader at a time, in the order in which candidates began. */
import { describe, expect, test } from "vitest";
import { json, type Keyspace, type Leadership, put, text } from "../../src/index.ts";
import { codeOf, observe, rejection, turn } from "../support/promises.ts";
import { aborted, type Backend, backlog, type RawStore, synced } from "./keyspace-backend.ts";

const name = "election";

/** Resolves when there are `count` candidates, with their keys, the leader's first. */
async function candidates(keyspace: Keyspace, count: number): Promise<string[]> {
  const keys = new Set<string>();
  using watcher = keyspace.range(`${name}/`, (bytes) => bytes).watch();
  for await (const { changes } of watcher.batches()) {
    for (const { type, key } of changes) {
      if (type === "delete") keys.delete(key);
      else keys.add(key);
    }
    if (keys.size === count) break;
  }
  return [...keys];
}

async function keysOf(store: RawStore): Promise<string[]> {
  const held = [...(await store.all())].sort(([, a], [, b]) => a.createRevision - b.createRevision);
  return held.map(([key]) => key);
}

export function describeElections({ open }: Backend): void {
  describe("an election", () => {
    test("is won by who comes first, then by the next, whichever keyspace they are of", async () => {
      await using subject = await open();
      const { keyspace } = subject;
      const other = subject.another();
      const first = await keyspace.election(name).campaign("first");
      const second = other.election(name).campaign("second");
      await candidates(keyspace, 2);
      const third = keyspace.election(name).campaign("third");
      await candidates(keyspace, 3);
      const outcomes = [observe(second), observe(third)];
      expect(outcomes.map((outcome) => outcome().state)).toEqual(["pending", "pending"]);
      await first.resign();
      const next = await second;
      expect(next.revision).toBeGreaterThan(first.revision);
      expect(outcomes[1]!().state).toBe("pending");
      expect(first.lost.aborted).toBe(false);
      await next.resign();
      const last = await third;
      expect(last.revision).toBeGreaterThan(next.revision);
      expect(last.lost.aborted).toBe(false);
      await Promise.all([last.resign(), last.resign()]);
      expect((await subject.store.all()).size).toBe(0);
    });

    test("has no part in another one whose name is below its own", async () => {
      await using subject = await open();
      const { keyspace } = subject;
      await keyspace.election(`${name}/inner`).campaign("inner");
      await keyspace.value(`${name}/no-candidate`, text).set("no candidate");
      using watcher = keyspace.election(name).leader.watch();
      expect(await watcher.get()).toBeUndefined();
      const outer = await keyspace.election(name).campaign("outer");
      expect(await watcher.get()).toEqual({ value: "outer", revision: outer.revision });
    });

    test("its leadership is resigned with its scope", async () => {
      await using subject = await open();
      const election = subject.keyspace.election(name);
      {
        await using leadership = await election.campaign("me");
        expect(leadership.lost.aborted).toBe(false);
      }
      expect((await subject.store.all()).size).toBe(0);
    });

    test("tells who leads: undefined while there is nobody, then each leader, and no candidate", async () => {
      await using subject = await open();
      const { keyspace } = subject;
      const election = keyspace.election(name);
      using leader = subject.another().election(name).leader.watch();
      expect(await leader.get()).toBe(undefined);
      expect(await codeOf(leader.get(backlog))).toBe("EV_BACKLOG_DONE");
      const told = leader.get();
      const first = await election.campaign("first");
      expect(await told).toEqual({ value: "first", revision: first.revision });
      const second = election.campaign("second");
      await candidates(keyspace, 2);
      using joiner = election.leader.watch();
      expect(await joiner.get()).toEqual({ value: "first", revision: first.revision });
      const after = leader.get();
      const outcome = observe(after);
      using last = subject.another().election(name).leader.watch();
      expect(await last.get()).toMatchObject({ value: "first" });
      expect(outcome()).toEqual({ state: "pending" });
      await first.resign();
      const { revision } = await second;
      expect(await after).toEqual({ value: "second", revision });
      expect(await joiner.get()).toEqual({ value: "second", revision });
      await (await second).resign();
      expect(await leader.get()).toBe(undefined);
      expect(await joiner.get()).toBe(undefined);
      expect(await codeOf(joiner.get(backlog))).toBe("EV_BACKLOG_DONE");
    });

    test("conflates: who looks late is told of the leader there is", async () => {
      await using subject = await open();
      const { keyspace } = subject;
      const election = keyspace.election(name);
      using leader = election.leader.watch();
      expect(await leader.get()).toBe(undefined);
      for (const value of ["a", "b"]) await (await election.campaign(value)).resign();
      await using _ = await election.campaign("c");
      expect(await leader.get({ filter: (now) => now !== undefined })).toMatchObject({ value: "c" });
    });

    test("that is aborted withdraws: rejects with the reason, and who is behind moves up", async () => {
      await using subject = await open();
      const { keyspace } = subject;
      const election = keyspace.election(name);
      const first = await election.campaign("first");
      const controller = new AbortController();
      const second = election.campaign("second", { signal: controller.signal });
      await candidates(keyspace, 2);
      const third = election.campaign("third");
      await candidates(keyspace, 3);
      controller.abort("enough");
      expect(await rejection(second)).toBe("enough");
      await candidates(keyspace, 2);
      expect(first.lost.aborted).toBe(false);
      await first.resign();
      await (await third).resign();
      // The signal of a campaign that was won does nothing any more.
      const late = new AbortController();
      const won = await election.campaign("won", { signal: late.signal });
      late.abort("too late");
      expect(won.lost.aborted).toBe(false);
      expect((await candidates(keyspace, 1)).length).toBe(1);
      await won.resign();
    });

    test("leaves no candidate behind, whenever it is aborted", async () => {
      await using subject = await open();
      const { keyspace } = subject;
      const election = keyspace.election(name);
      await using leader = await election.campaign("leader");
      for (const delay of [0, 1, 2, 3, 5, 8, 13, 21, 34]) {
        const controller = new AbortController();
        const campaign = election.campaign("brief", { signal: controller.signal });
        for (let i = 0; i < delay; i++) await turn();
        controller.abort("enough");
        expect(await rejection(campaign)).toBe("enough");
      }
      await candidates(keyspace, 1);
      expect(leader.lost.aborted).toBe(false);
      expect(await codeOf(election.campaign("late", { signal: AbortSignal.abort("before") }))).toBe("before");
    });

    test("is lost with the leader's key: EV_LEASE_NOT_FOUND, and the next candidate leads", async () => {
      await using subject = await open();
      const { keyspace, store } = subject;
      const election = keyspace.election(name);
      const first = await election.campaign("first");
      const second = subject.another().election(name).campaign("second");
      const [key = ""] = await candidates(keyspace, 2);
      await store.delete(key);
      expect(await aborted(first.lost)).toMatchObject({ code: "EV_LEASE_NOT_FOUND", key });
      const next = await second;
      expect(next.lost.aborted).toBe(false);
      await first.resign();
      expect(next.lost.aborted).toBe(false);
      await next.resign();
      expect((await store.all()).size).toBe(0);
    });

    test("is lost with a candidate's key: the campaign rejects with EV_LEASE_NOT_FOUND", async () => {
      await using subject = await open();
      const { keyspace, store } = subject;
      const election = keyspace.election(name);
      await using first = await election.campaign("first");
      const second = election.campaign("second");
      const keys = await candidates(keyspace, 2);
      await store.delete(keys[1]!);
      expect(await rejection(second)).toMatchObject({ code: "EV_LEASE_NOT_FOUND", key: keys[1] });
      expect(first.lost.aborted).toBe(false);
      expect(await keysOf(store)).toEqual(keys.slice(0, 1));
    });

    test("a key that was deleted and written again is a younger candidate", async () => {
      await using subject = await open();
      const { keyspace, store } = subject;
      const election = keyspace.election(name);
      const first = await election.campaign("first");
      const second = election.campaign("second");
      const [key = ""] = await candidates(keyspace, 2);
      await store.txn([{ key }, { key: `${name}/0`, value: "between" }]);
      await store.put(key, "first");
      expect(await aborted(first.lost)).toMatchObject({ code: "EV_LEASE_NOT_FOUND" });
      const next = await second;
      expect(await codeOf(keyspace.transaction([first.fence]))).toBe("EV_CONFLICT");
      await next.resign();
    });

    test("goes on where the leader's key is written over: what it says is told, with the revision it began with", async () => {
      await using subject = await open();
      const { keyspace, store } = subject;
      const election = keyspace.election(name);
      const { revision, lost, fence } = await election.campaign("me");
      const [key = ""] = await candidates(keyspace, 1);
      using leader = election.leader.watch();
      expect(await leader.get()).toEqual({ value: "me", revision });
      await store.put(key, "renamed");
      expect(await leader.get()).toEqual({ value: "renamed", revision });
      await store.put(key, "something");
      await store.put(key, "renamed");
      await synced(election.leader);
      expect(await codeOf(leader.get(backlog))).toBe("EV_BACKLOG_DONE");
      expect(lost.aborted).toBe(false);
      await keyspace.transaction([fence]);
      await store.delete(key);
      expect(await codeOf(keyspace.transaction([fence]))).toBe("EV_CONFLICT");
      expect(await aborted(lost)).toMatchObject({ code: "EV_LEASE_NOT_FOUND" });
    });

    test("counts whoever has a candidate's key, whatever it holds", async () => {
      await using subject = await open();
      const { keyspace, store } = subject;
      const revision = await store.put(`${name}/694d8a`, Uint8Array.of(0xff));
      const election = keyspace.election(name);
      using leader = election.leader.watch();
      expect(await leader.get()).toEqual({ value: "\ufffd", revision });
      const campaign = election.campaign("me");
      await candidates(keyspace, 2);
      const outcome = observe(campaign);
      // That of others it does not count.
      await using _ = await keyspace.election(`${name}s`).campaign("elsewhere");
      expect(outcome()).toEqual({ state: "pending" });
      await store.delete(`${name}/694d8a`);
      await (await campaign).resign();
    });

    test("fences what its leader writes: refused from when it was lost or resigned, by the store's own order", async () => {
      await using subject = await open();
      const { keyspace, store } = subject;
      const other = subject.another();
      const value = keyspace.value("written", text);
      const first = await keyspace.election(name).campaign("first");
      await keyspace.transaction([first.fence, put(value, "by the first")]);
      const second = other.election(name).campaign("second");
      await candidates(keyspace, 2);
      await keyspace.transaction([first.fence, put(value, "by the first still")]);
      expect(() => other.transaction([first.fence])).toThrow(TypeError);
      const [key = ""] = (await keysOf(store)).filter((held) => held.startsWith(name));
      await store.delete(key);
      // Whether or not the leader was told yet.
      expect(await rejection(keyspace.transaction([first.fence, put(value, "late")]))).toMatchObject({
        code: "EV_CONFLICT",
        key,
        currentRevision: 0,
      });
      const next = await second;
      await other.transaction([next.fence, put(other.value("written", text), "by the second")]);
      expect(await codeOf(keyspace.transaction([first.fence, put(value, "later")]))).toBe("EV_CONFLICT");
      await next.resign();
      expect(await codeOf(other.transaction([next.fence, put(other.value("written", text), "after")]))).toBe(
        "EV_CONFLICT",
      );
      expect(await store.get("written")).toMatchObject({ value: "by the second" });
    });

    test("of many candidates has one leader at a time, and each leads once, in order", async () => {
      await using subject = await open();
      const { keyspace } = subject;
      const keyspaces = [keyspace, subject.another(), subject.another()];
      const counter = keyspace.value("counter", json<number>(), { default: 0 });
      const told: number[] = [];
      using leader = keyspace.election(name).leader.watch();
      const watching = (async () => {
        for await (const now of leader) if (now !== undefined) told.push(now.revision);
      })();
      let leaders = 0;
      const led: number[] = [];
      await Promise.all(
        Array.from({ length: 12 }, async (_, i) => {
          const own = keyspaces[i % 3]!;
          const leadership: Leadership = await own.election(name).campaign(`${i}`);
          expect(++leaders).toBe(1);
          led.push(leadership.revision);
          const current = (await counter.read())?.value ?? 0;
          await own.transaction([leadership.fence, put(own.value("counter", json<number>()), current + 1)]);
          leaders--;
          await leadership.resign();
        }),
      );
      leader.close();
      await watching;
      expect(await counter.read()).toMatchObject({ value: 12 });
      expect(led).toEqual([...led].sort((a, b) => a - b));
      expect(told).toEqual([...told].sort((a, b) => a - b));
      expect(new Set(told).size).toBe(told.length);
      for (const revision of told) expect(led).toContain(revision);
    });

    test("gives way when its keyspace is closed, as leader and as candidate", async () => {
      await using subject = await open();
      const { keyspace, store } = subject;
      const closing = subject.another();
      const first = await closing.election(name).campaign("leader");
      const waiting = closing.election(name).campaign("candidate");
      using leader = closing.election(name).leader.watch();
      await candidates(keyspace, 2);
      const mine = keyspace.election(name).campaign("mine");
      const rejected = codeOf(waiting);
      await closing.close();
      expect(await rejected).toBe("EV_CLOSED");
      const next = await mine;
      expect((await keysOf(store)).length).toBe(1);
      expect(await codeOf(leader.get())).toBe("EV_CLOSED");
      expect(await codeOf(closing.election(name).campaign("late"))).toBe("EV_CLOSED");
      expect(() => closing.election(name).leader.watch()).toThrow(expect.objectContaining({ code: "EV_CLOSED" }));
      await first.resign();
      expect(next.lost.aborted).toBe(false);
      await next.resign();
    });
  });
}
