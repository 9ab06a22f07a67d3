/** The store in memory and its keyspaces: time, and users' code that is called in the middle of things. */
import { describe, expect, test } from "vitest";
import { type Codec, type Keyspace, type Lease, MemoryKeyspace, put, text, type Watcher } from "../../../src/index.ts";
import { StoredReadableRange } from "../../../src/keyspace/key-range.ts";
import { MemoryConnection } from "../../../src/memory/memory-connection.ts";
import { type Clock, MemoryStore } from "../../../src/memory/memory-store.ts";
import { Namespace } from "../../../src/memory/namespace.ts";
import { TestKeyspace as HeldKeyspace } from "../../../src/testing/index.ts";
import { codeOf, microtasks, observe, rejection, turn, until } from "../../support/promises.ts";

/** A clock that stands until it is moved. */
class FakeClock implements Clock {
  #now = 0;
  readonly timers: Set<{ readonly at: number; readonly run: () => void }> = new Set();

  now(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#now + ms, run };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }

  /** Lets time pass, and what is due in it happen in its order. */
  pass(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const [next] = [...this.timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
    }
    this.#now = end;
  }

  /** Lets time pass in which nothing can run, as when a process is suspended: what is due happens after it, anyhow. */
  jump(ms: number): void {
    this.#now += ms;
    this.pass(0);
  }
}

/** A connection whose leases can be left alone. */
class Connection extends MemoryConnection {
  pause(): void {
    for (const lease of this.leases) lease.neglect();
  }

  resume(): void {
    for (const lease of this.leases) lease.keepAlive();
  }
}

class TestKeyspace extends MemoryKeyspace {
  readonly connection: Connection;

  constructor(store: MemoryStore) {
    const connection = new Connection(store, new Namespace(""));
    super(connection);
    this.connection = connection;
  }
}

function setUp(): { clock: FakeClock; store: MemoryStore; keyspace: TestKeyspace; other: TestKeyspace } {
  const clock = new FakeClock();
  const store = new MemoryStore(clock);
  return { clock, store, keyspace: new TestKeyspace(store), other: new TestKeyspace(store) };
}

describe("a lease in memory", () => {
  test("lives as long as its holder keeps it alive", async () => {
    const { clock, keyspace } = setUp();
    const lease = await keyspace.lease({ ttlMs: 5000 });
    await keyspace.value("a", text).set("1", { lease });
    for (let i = 0; i < 100; i++) clock.pass(777);
    expect(lease.lost.aborted).toBe(false);
    expect(await keyspace.value("a", text).read()).toMatchObject({ value: "1" });
    await lease.close();
    expect(clock.timers.size).toBe(0);
  });

  test("expires when its holder is paused: it is lost, and its keys go in one batch", async () => {
    const { clock, keyspace, other } = setUp();
    const lease = await keyspace.lease({ ttlMs: 5000 });
    for (const key of ["a", "b"]) await keyspace.value(key, text).set("1", { lease });
    const spared = await other.lease({ ttlMs: 5000 });
    await other.value("c", text).set("1", { lease: spared });
    using watcher = other.range("", text).watch();
    await watcher.getBatch();
    const gone = watcher.getBatch();
    const outcome = observe(gone);
    keyspace.connection.pause();
    clock.pass(4999);
    await turn();
    expect([lease.lost.aborted, outcome().state]).toEqual([false, "pending"]);
    clock.pass(1);
    expect(lease.lost.reason).toMatchObject({ code: "EV_LEASE_NOT_FOUND" });
    expect((lease.lost.reason as Error).message).toContain(lease.id);
    expect((await gone).changes.map(({ type, key }) => [type, key])).toEqual([
      ["delete", "a"],
      ["delete", "b"],
    ]);
    expect(spared.lost.aborted).toBe(false);
    expect(await codeOf(keyspace.value("a", text).set("2", { lease }))).toBe("EV_LEASE_NOT_FOUND");
    await lease.close();
    await spared.close();
    expect(clock.timers.size).toBe(0);
  });

  test("survives a holder that is paused for less", async () => {
    const { clock, keyspace } = setUp();
    const lease = await keyspace.lease({ ttlMs: 5000 });
    for (let i = 0; i < 5; i++) {
      keyspace.connection.pause();
      clock.pass(3000);
      keyspace.connection.resume();
      // It is kept alive from a third of its time on.
      clock.pass(1700);
    }
    expect(lease.lost.aborted).toBe(false);
    await keyspace.close();
    expect(clock.timers.size).toBe(0);
  });

  test("is over when its time is, whichever timer runs first after a suspension", async () => {
    for (const first of ["keep-alive", "expiry"]) {
      const { clock, store, keyspace } = setUp();
      const lease = await keyspace.lease({ ttlMs: 5000 });
      await keyspace.value("a", text).set("1", { lease });
      if (first === "keep-alive") clock.jump(6000);
      else {
        keyspace.connection.pause();
        clock.jump(6000);
      }
      expect(lease.lost.aborted, first).toBe(true);
      expect(store.read({ key: "a" }), first).toEqual([]);
      await keyspace.close();
      expect(clock.timers.size, first).toBe(0);
    }
  });

  test("lives for its time in whole seconds, rounded up", async () => {
    for (const [ttlMs, granted] of [
      [1, 1000],
      [1000, 1000],
      [1001, 2000],
      [59_999.5, 60_000],
      [2 ** 31 - 1, 2_147_484_000],
    ] as const) {
      const { clock, keyspace } = setUp();
      const lease = await keyspace.lease({ ttlMs });
      keyspace.connection.pause();
      clock.pass(granted - 1);
      expect(lease.lost.aborted, `${ttlMs}`).toBe(false);
      clock.pass(1);
      expect(lease.lost.aborted, `${ttlMs}`).toBe(true);
    }
  });

  test("is not lost by a write to one of its keys, which is kept without it", async () => {
    const { clock, keyspace } = setUp();
    const lease = await keyspace.lease({ ttlMs: 1000 });
    const value = keyspace.value("a", text);
    await value.set("1", { lease });
    await value.set("2");
    keyspace.connection.pause();
    clock.pass(1000);
    expect(lease.lost.aborted).toBe(true);
    expect(await value.read()).toMatchObject({ value: "2" });
  });

  test("of the process' own time expires, and lets the process end", async () => {
    const store = new MemoryStore();
    const keyspace = new TestKeyspace(store);
    const lease = await keyspace.lease({ ttlMs: 1 });
    await keyspace.value("a", text).set("1", { lease });
    keyspace.connection.pause();
    await new Promise((resolve) => lease.lost.addEventListener("abort", resolve));
    expect(store.read({ key: "a" })).toEqual([]);
  });

  test("K12 clean: closing a keyspace leaves no timer, and the other's leases", async () => {
    const { clock, keyspace, other } = setUp();
    const leases: Lease[] = [];
    for (const of of [keyspace, keyspace, other]) leases.push(await of.lease({ ttlMs: 5000 }));
    expect(clock.timers.size).toBe(6);
    await keyspace.close();
    expect(clock.timers.size).toBe(2);
    await leases[2]!.close();
    expect(clock.timers.size).toBe(0);
  });
});

describe("an election in memory", () => {
  test("is lost by a leader that is paused for longer than its time, and its successor is told", async () => {
    const { clock, keyspace, other } = setUp();
    const first = await keyspace.election("e").campaign("first", { ttlMs: 3000 });
    const campaign = other.election("e").campaign("second", { ttlMs: 3000 });
    const outcome = observe(campaign);
    await turn();
    expect(outcome()).toEqual({ state: "pending" });
    keyspace.connection.pause();
    clock.pass(3000);
    expect(first.lost.reason).toMatchObject({ code: "EV_LEASE_NOT_FOUND" });
    const second = await campaign;
    expect(second.lost.aborted).toBe(false);
    expect(await codeOf(keyspace.transaction([first.fence]))).toBe("EV_CONFLICT");
    await first.resign();
    await second.resign();
    expect(clock.timers.size).toBe(0);
  });

  test("is lost with a key that was deleted and written again before the leader looked", async () => {
    const keyspace = new HeldKeyspace();
    const client = new MemoryKeyspace({ sharing: keyspace });
    const leadership = await keyspace.election("e").campaign("me");
    const [candidate] = (await client.range("e/", text).read()).changes;
    keyspace.pause();
    const key = client.value(candidate!.key, text);
    await key.delete();
    await key.set("me");
    await turn();
    expect(leadership.lost.aborted).toBe(false);
    keyspace.resume();
    await until(() => leadership.lost.aborted);
    expect(leadership.lost.reason).toMatchObject({ code: "EV_LEASE_NOT_FOUND", key: candidate!.key });
    await keyspace.close();
  });

  test("a candidate that is paused while it waits is no candidate any more", async () => {
    const { clock, keyspace, other } = setUp();
    const first = await keyspace.election("e").campaign("first");
    const campaign = rejection(other.election("e").campaign("second", { ttlMs: 3000 }));
    await turn();
    other.connection.pause();
    clock.pass(3000);
    expect(await campaign).toMatchObject({ code: "EV_LEASE_NOT_FOUND" });
    expect(first.lost.aborted).toBe(false);
    await first.resign();
    expect(clock.timers.size).toBe(0);
  });
});

describe("a store in memory", () => {
  test("copies what it is given: a codec may use its array again", async () => {
    const keyspace = new MemoryKeyspace();
    const shared = new Uint8Array(1);
    const thrifty: Codec<number> = {
      encode: (value) => {
        shared[0] = value;
        return shared;
      },
      decode: (bytes) => bytes[0] as number,
    };
    const [a, b] = [keyspace.value("a", thrifty), keyspace.value("b", thrifty)];
    using watcher = a.watch();
    await a.set(1);
    await b.set(2);
    shared[0] = 9;
    expect(await watcher.get()).toBe(1);
    expect(await a.read()).toMatchObject({ value: 1 });
    expect(await b.read()).toMatchObject({ value: 2 });
  });

  test("nobody goes back in time when filters commit while they are asked", async () => {
    const keyspace = new MemoryKeyspace();
    const value = keyspace.value("n", {
      encode: (n: number) => Uint8Array.of(n),
      decode: (bytes) => bytes[0] as number,
    });
    const range = keyspace.range("", (bytes) => bytes[0] as number);
    await value.set(0);
    const seen: number[][] = [];
    const consumers = Array.from({ length: 4 }, async (_, i) => {
      const own: number[] = [];
      seen.push(own);
      using watcher: Watcher<unknown> = i % 2 === 0 ? value.watch() : value.updates.watch();
      while (own.at(-1) !== 20) {
        await watcher.get({
          filter: (now) => {
            const n = typeof now === "object" ? (now as { value: number }).value : (now as number);
            own.push(n);
            // In the middle of the others' being told.
            if (n < 20 && i < 2) void value.set(n + 1);
            return n % 3 === 0 || n === 20;
          },
        });
      }
    });
    using map = await range.live();
    using batches = range.watch();
    const revisions: number[] = [];
    while (map.get("n") !== 20) {
      const { revision } = await batches.getBatch();
      revisions.push(revision);
      expect(map.revision).toBeGreaterThanOrEqual(revision);
    }
    await Promise.all(consumers);
    for (const own of seen) expect(own).toEqual([...new Set(own)].sort((a, b) => a - b));
    expect(revisions).toEqual([...revisions].sort((a, b) => a - b));
  });

  test("nobody goes back in time when decoders commit while they decode", async () => {
    const keyspace = new MemoryKeyspace();
    const plain = keyspace.range("", text);
    const written = new Set<string>();
    const meddling = keyspace.range("", (bytes, key) => {
      const value = text.decode(bytes, key);
      // Each key and value once, or there were no end of it.
      if (Number(value) < 5 && !written.has(`${key} ${value}`)) {
        written.add(`${key} ${value}`);
        void plain.set(key, `${Number(value) + 1}`);
        void plain.set("z", `${written.size}`);
      }
      return value;
    });
    await plain.set("a", "0");
    await plain.set("b", "0");
    using watcher = meddling.watch();
    using map = await meddling.live();
    const known = new Map<string, string>();
    let last = 0;
    while (known.get("a") !== "5" || known.get("b") !== "5") {
      const { revision, changes } = await watcher.getBatch();
      expect(revision).toBeGreaterThanOrEqual(last);
      last = revision;
      for (const change of changes) {
        if (change.type !== "put") throw new Error(change.type);
        expect(change.revision).toBeLessThanOrEqual(revision);
        const before = known.get(change.key);
        if (before !== undefined && change.key !== "z") expect(Number(change.value)).toBeGreaterThan(Number(before));
        known.set(change.key, change.value);
      }
    }
    // Going through the map decodes, and so may write once more.
    for (let settled = -1; settled < (await plain.read()).revision;) {
      settled = (await plain.read()).revision;
      await map.atLeast(settled);
      expect(map.size).toBe(3);
      await new Promise(setImmediate);
    }
    expect([...map]).toEqual([
      ["a", "5"],
      ["b", "5"],
      ["z", (await keyspace.value("z", text).read())?.value],
    ]);
  });

  test("tells of a commit in the next microtask, and never in the middle of the call that made it", async () => {
    const keyspace = new MemoryKeyspace();
    const value = keyspace.value("a", text);
    using watcher = value.watch();
    let asked = 0;
    const get = watcher.get({ filter: () => ++asked > 0 });
    await microtasks(5);
    const setting = value.set("1");
    expect(asked).toBe(0);
    await setting;
    expect(asked).toBe(1);
    expect(await get).toBe("1");
  });

  test("a keyspace that is opened between a commit and its telling is told of no older status", async () => {
    const { store } = setUp();
    for (const value of ["1", "2", "3"]) {
      store.commit({
        conditions: [],
        changes: [{ type: "put", key: "a", bytes: text.encode(value, "a"), lease: undefined }],
      });
    }
    const late = new TestKeyspace(store);
    using status = late.status.watch();
    // The second waits for what is told.
    const gets = [status.get(), status.get()];
    for (const get of gets) expect(await get).toEqual({ state: "live", revision: store.revision });
  });

  test("a decoder that closes the keyspace ends what it was asked for, and nothing else breaks", async () => {
    const { store, keyspace, other } = setUp();
    await other.value("a", text).set("1");
    const closing = keyspace.range("", () => {
      void keyspace.close();
      return 1;
    });
    using watcher = closing.watch();
    await watcher.getBatch().catch((error: unknown) => expect(error).toMatchObject({ code: "EV_CLOSED" }));
    expect(await codeOf(watcher.getBatch())).toBe("EV_CLOSED");
    using going = other.range("", text).watch();
    expect(await going.getBatch()).toMatchObject({ changes: [{ key: "a" }] });
    await other.value("a", text).set("2");
    expect(await going.getBatch()).toMatchObject({ revision: store.revision, changes: [{ value: "2" }] });
  });

  test("lets go of who follows it, when watchers and keyspaces are closed", async () => {
    const followed = new Set<object>();
    class Counting extends MemoryStore {
      override follow(...args: Parameters<MemoryStore["follow"]>): () => void {
        const entry = {};
        followed.add(entry);
        const unfollow = super.follow(...args);
        return () => {
          followed.delete(entry);
          unfollow();
        };
      }
    }
    const keyspace: Keyspace = new TestKeyspace(new Counting());
    expect(followed.size).toBe(1);
    const value = keyspace.value("a", text);
    const range = keyspace.range("", text);
    for (let i = 0; i < 3; i++) {
      const watchers = [value.watch(), value.updates.watch(), range.watch(), range.watch()];
      const maps = [await range.live(), await range.live()];
      // One of each extent, whoever watches it.
      expect(followed.size).toBe(3);
      for (const closing of [...watchers, ...maps]) closing.close();
      expect(followed.size).toBe(1);
    }
    value.watch();
    await range.live();
    await keyspace.close();
    expect(followed.size).toBe(0);
  });
});

describe("opening live maps in memory", () => {
  test("that is given up at any moment leaves nobody who counts as reading the log", async () => {
    const { keyspace, store } = setUp();
    await keyspace.value("a", text).set("1");
    const source = keyspace.connection.source({ range: "" });
    const feed = source.enter();
    for (let delay = 0; delay < 40; delay++) {
      const range = new StoredReadableRange(source, (bytes) => bytes);
      const controller = new AbortController();
      const opening = range.live({ signal: controller.signal });
      await microtasks(delay);
      controller.abort("enough");
      await opening.then(
        (map) => {
          expect(feed.readers, `${delay}`).toBe(1);
          map.close();
        },
        (reason: unknown) => expect(reason).toBe("enough"),
      );
      await turn();
      expect(feed.readers, `${delay}`).toBe(0);
    }
    feed.released();
    expect(store.read({ range: "" })).toHaveLength(1);
  });
});

describe("a keyspace in memory, as one that is elsewhere", () => {
  test("C12 starvation: loops of calls let timers run", async () => {
    const keyspace = new MemoryKeyspace();
    const value = keyspace.value("a", text);
    setTimeout(() => void value.set("go"), 1);
    while ((await value.read()) === undefined);
    let timer = false;
    setTimeout(() => (timer = true), 1);
    for (let i = 0; !timer; i++) await value.set(`${i}`);
  });

  test("takes no more at once than etcd does: bytes in UTF-8 are counted, and keys of conditions", async () => {
    const keyspace = new MemoryKeyspace();
    const limit = 1.5 * 1024 * 1024;
    await keyspace.value("k", text).set("x".repeat(limit - 1000));
    const long = keyspace.value("é".repeat(limit / 2), text);
    expect(await codeOf(long.set(""))).toBe("EV_RESOURCE_EXHAUSTED");
    expect(await codeOf(keyspace.value("x".repeat(limit / 2.5), text).set("", { ifRevision: 0 }))).toBe(
      "EV_RESOURCE_EXHAUSTED",
    );
  });

  test("lists what was written at once in the order of keys", async () => {
    const keyspace = new MemoryKeyspace();
    const keys = ["b", "\u{1f600}", "a", "\uffff"];
    await keyspace.transaction(keys.map((key) => put(keyspace.value(key, text), "")));
    const listed = (await keyspace.range("", text).read()).changes.map(({ key }) => key);
    expect(listed).toEqual(["a", "b", "\uffff", "\u{1f600}"]);
  });
});
