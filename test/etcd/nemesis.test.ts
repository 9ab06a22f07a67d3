/**
 * Watchers of all kinds while the store is written and everything fails that may: connections, the server, the history.
 * What each is delivered is recorded and held against the history of the store, which the test knows, as it writes all
 * of it by itself and kills no server with a write under way.
 */
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test, vi } from "vitest";
import { isEventValueError, text } from "../../src/index.ts";
import { EtcdKeyspace } from "../../src/etcd/index.ts";
import type { KeyRange, RangeWatcher } from "../../src/keyspace.ts";
import { etcdAvailable } from "../support/etcd.ts";
import { rejection } from "../support/promises.ts";
import { type Proxy, startProxy } from "../support/proxy.ts";
import { Random, seed } from "../support/seed.ts";
import { type Known, Replica } from "../support/replica.ts";
import { freshPrefix, type Operation, useEtcd } from "./store.ts";

/** Of these there are few, so that each is written, deleted and created again often. */
const keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
const end = "end";

describe.skipIf(!etcdAvailable)(`watchers and a nemesis (seed ${seed})`, () => {
  const server = useEtcd();

  test("K3 to K7, K9, K10: ordered, whole, without gap or phantom, to the last change", async () => {
    const random = new Random(seed);
    const prefix = freshPrefix();
    const history = new StoreHistory(prefix);
    const proxies = [await startProxy(server.etcd.port), await startProxy(server.etcd.port)] as const;
    const keyspaces = proxies.map(
      ({ endpoint }) => new EtcdKeyspace({ endpoints: endpoint, namespace: prefix, staleAfterMs: 1500 }),
    );
    const stop = new AbortController();
    const consumers: Promise<void>[] = [];
    try {
      for (const [i, keyspace] of keyspaces.entries()) {
        const range = keyspace.range("", text);
        const own = new Random(seed + 100 * (i + 1));
        for (const pauseMs of [0, 0, 20, 150]) consumers.push(readBatches(range, history, own, pauseMs));
        for (const pauseMs of [0, 3, 40]) consumers.push(readSingly(range, history, own, pauseMs));
        for (let n = 0; n < 3; n++) consumers.push(readAnyhow(range, history, own));
        consumers.push(comeAndGo(range, history, own, stop.signal));
        for (const key of keys.slice(0, 3)) consumers.push(watchKey(keyspace, key, history, own));
      }
      // A consumer that fails ends the test at once, and not after its time.
      await Promise.race([Promise.all(consumers), beset(random, history, proxies, keyspaces)]);
      stop.abort();
      await Promise.all(consumers);
    } finally {
      stop.abort();
      for (const keyspace of keyspaces) await keyspace.close();
      for (const proxy of proxies) await proxy[Symbol.asyncDispose]();
      await Promise.allSettled(consumers);
    }
  });

  /** Writes, and makes everything fail in turn; at the end all is well, and the last write made. */
  async function beset(
    random: Random,
    history: StoreHistory,
    proxies: readonly Proxy[],
    keyspaces: readonly EtcdKeyspace[],
  ): Promise<void> {
    const write = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) await history.write(server.store.txn.bind(server.store), random);
    };
    const compact = async (): Promise<void> => {
      await server.store.compact(Math.max(1, history.revision - random.pick([0, 0, 0, 1, 5]))).catch((error: Error) => {
        // One that is not before the last one is none.
        expect(error.message).toContain("compacted");
      });
    };
    const faults: Record<string, (proxy: Proxy) => Promise<void>> = {
      async cut(proxy) {
        await proxy.cut();
        await vi.waitFor(() => expect(proxy.connections).toBe(0), { interval: 1 });
        await write(random.below(30));
        await proxy.heal();
      },
      async "cut and compact"(proxy) {
        await proxy.cut();
        await vi.waitFor(() => expect(proxy.connections).toBe(0), { interval: 1 });
        await write(1 + random.below(30));
        await compact();
        await write(random.below(3));
        await proxy.heal();
      },
      async compact() {
        await write(random.below(10));
        await compact();
      },
      async "cut both"() {
        for (const proxy of proxies) await proxy.cut();
        await write(random.below(10));
        if (random.below(2) === 0) await compact();
        for (const proxy of proxies) await proxy.heal();
      },
      async blackhole(proxy) {
        using status = keyspaces[proxies.indexOf(proxy)]!.status.watch();
        await status.get({ filter: ({ state }) => state === "live" });
        proxy.blackhole();
        await write(5 + random.below(20));
        await status.get({ filter: ({ state }) => state === "stale" });
        await proxy.heal();
      },
      async kill() {
        const { pid } = server.etcd;
        await server.etcd.kill();
        await delay(random.below(100));
        await server.etcd.restart();
        expect(server.etcd.pid).not.toBe(pid);
      },
      async "kill and compact"(proxy) {
        await proxy.cut();
        await server.etcd.restart();
        await write(1 + random.below(10));
        await compact();
        await proxy.heal();
      },
    };
    await write(20);
    const schedule = [
      ...Object.keys(faults),
      ...Array.from({ length: 12 }, () => random.pick(["cut", "cut and compact", "compact", "cut both"])),
    ].sort(() => random.next() - 0.5);
    for (const fault of schedule) {
      const proxy = random.pick(proxies);
      const { accepted } = proxy;
      await faults[fault]!(proxy);
      await write(random.below(20));
      // Half of the time it has come back before the next fault.
      if (fault !== "compact" && random.below(2) === 0) {
        await vi.waitFor(() => expect(proxy.accepted).toBeGreaterThan(accepted), { timeout: 20_000, interval: 5 });
      }
      await delay(random.below(60));
    }
    await history.end(server.store.txn.bind(server.store));
  }
});

/** All states that the store ever had, by what was written. */
class StoreHistory {
  readonly #prefix: string;
  /** The state after each write, in order. */
  readonly #states: { readonly revision: number; readonly state: ReadonlyMap<string, Known> }[] = [
    { revision: 0, state: new Map() },
  ];
  #writes = 0;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** The newest revision that a write was answered with. */
  get revision(): number {
    return this.#newest.revision;
  }

  get #newest(): { readonly revision: number; readonly state: ReadonlyMap<string, Known> } {
    return this.#states.at(-1)!;
  }

  /** The state at `revision`, which is known when all that was written up to then was answered. */
  at(revision: number): ReadonlyMap<string, Known> {
    let at = this.#states.length - 1;
    while (this.#states[at]!.revision > revision) at--;
    return this.#states[at]!.state;
  }

  /** Writes something: one key or several, or deletes, or writes what is there already. */
  async write(txn: (operations: readonly Operation[]) => Promise<number>, random: Random): Promise<void> {
    const chosen = new Set(Array.from({ length: 1 + random.below(random.below(4) + 1) }, () => random.pick(keys)));
    await this.#apply(
      txn,
      [...chosen].map((key) => {
        const held = this.#newest.state.get(key);
        const kind = random.below(10);
        if (kind < 3) return { key };
        return { key, value: kind < 5 && held !== undefined ? held.value : `${++this.#writes % 50}` };
      }),
    );
  }

  /** The last write. */
  end(txn: (operations: readonly Operation[]) => Promise<number>): Promise<void> {
    return this.#apply(txn, [{ key: end, value: "1" }]);
  }

  async #apply(
    txn: (operations: readonly Operation[]) => Promise<number>,
    operations: readonly Operation[],
  ): Promise<void> {
    const revision = await txn(operations.map((operation) => ({ ...operation, key: this.#prefix + operation.key })));
    const state = new Map(this.#newest.state);
    for (const { key, value } of operations) {
      if (value === undefined) state.delete(key);
      else state.set(key, { value, revision, createRevision: state.get(key)?.createRevision ?? revision });
    }
    // A transaction that deletes what is not there has no revision of its own.
    if (revision > this.revision) this.#states.push({ revision, state });
  }
}

/** What counts as equal: spurious updates, which are not told, leave an older revision with who read before. */
function content(state: ReadonlyMap<string, Known>): Record<string, unknown> {
  return Object.fromEntries(
    [...state]
      .map(([key, { value, createRevision }]) => [key, { value, createRevision }] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

/** Holds what a batch has made of a replica against the store's state at its revision, which may not be known yet. */
class Checks {
  readonly #history: StoreHistory;
  readonly #due: { readonly revision: number; readonly content: unknown }[] = [];

  constructor(history: StoreHistory) {
    this.#history = history;
  }

  add(revision: number, replica: Replica): void {
    this.#due.push({ revision, content: content(replica.map) });
  }

  /** To be called when the last write is known. */
  run(): void {
    for (const due of this.#due) {
      const message = `K4 a batch brings the consumer exactly to the state at revision ${due.revision}`;
      expect(due.content, message).toEqual(content(this.#history.at(due.revision)));
    }
  }
}

async function readBatches(
  range: KeyRange<string>,
  history: StoreHistory,
  random: Random,
  pauseMs: number,
): Promise<void> {
  using watcher = range.watch();
  const replica = new Replica();
  const checks = new Checks(history);
  while (!replica.map.has(end)) {
    const { revision } = await replica.getBatch(watcher);
    checks.add(revision, replica);
    if (pauseMs > 0) await delay(random.below(2 * pauseMs));
  }
  // The answer to the last write may come after its event.
  await vi.waitFor(() => expect(history.at(Infinity).has(end)).toBe(true));
  checks.run();
  expect(content(replica.map)).toEqual(content(history.at(Infinity)));
}

async function readSingly(
  range: KeyRange<string>,
  history: StoreHistory,
  random: Random,
  pauseMs: number,
): Promise<void> {
  using watcher = range.watch();
  const replica = new Replica();
  while (!replica.map.has(end)) {
    await replica.get(watcher);
    if (pauseMs > 0) await delay(random.below(2 * pauseMs));
  }
  await drain(watcher, replica);
  await vi.waitFor(() => expect(history.at(Infinity).has(end)).toBe(true));
  expect(content(replica.map)).toEqual(content(history.at(Infinity)));
}

/** Takes what is pending: after a compaction deletions come last. */
async function drain(watcher: RangeWatcher<string>, replica: Replica): Promise<void> {
  const error = await rejection(
    (async () => {
      for (;;) await replica.get(watcher, { backlogOnly: true });
    })(),
  );
  expect(error).toMatchObject({ code: "EV_BACKLOG_DONE" });
}

/** Gets, batches, backlogs and aborts, as chance has it. */
async function readAnyhow(range: KeyRange<string>, history: StoreHistory, random: Random): Promise<void> {
  using watcher = range.watch();
  const replica = new Replica();
  const checks = new Checks(history);
  while (!replica.map.has(end)) {
    const options = random.below(3) === 0 ? { backlogOnly: true } : undefined;
    try {
      const kind = random.below(4);
      if (kind === 0) {
        const signal = AbortSignal.timeout(1 + random.below(15));
        await replica.get({ get: () => watcher.get({ signal }) } as never);
      } else if (kind === 1) checks.add((await replica.getBatch(watcher, options)).revision, replica);
      else await replica.get(watcher, options);
    } catch (error) {
      if (!isEventValueError(error, "EV_BACKLOG_DONE") && (error as Error).name !== "TimeoutError") throw error;
      await delay(random.below(30));
    }
    if (random.below(5) === 0) await delay(random.below(60));
  }
  await drain(watcher, replica);
  await vi.waitFor(() => expect(history.at(Infinity).has(end)).toBe(true));
  checks.run();
  expect(content(replica.map)).toEqual(content(history.at(Infinity)));
}

/** Joins, which is as fresh as the last write that was answered, stays a while, and leaves; again and again. */
async function comeAndGo(
  range: KeyRange<string>,
  history: StoreHistory,
  random: Random,
  until: AbortSignal,
): Promise<void> {
  const checks = new Checks(history);
  let rounds = 0;
  while (!until.aborted) {
    using watcher = range.watch();
    const replica = new Replica();
    const atLeast = history.revision;
    const { revision, type } = await replica.getBatch(watcher);
    expect(type).toBe("snapshot");
    expect(revision, "K10 a first get is as fresh as a linearizable read").toBeGreaterThanOrEqual(atLeast);
    checks.add(revision, replica);
    for (let stay = random.below(4); stay > 0; stay--) {
      await replica.getBatch(watcher, { backlogOnly: true }).then(
        (batch) => checks.add(batch.revision, replica),
        (error: unknown) => expect(error).toMatchObject({ code: "EV_BACKLOG_DONE" }),
      );
      await delay(random.below(20));
    }
    rounds++;
    await delay(random.below(20));
  }
  expect(rounds).toBeGreaterThan(5);
  checks.run();
}

async function watchKey(keyspace: EtcdKeyspace, key: string, history: StoreHistory, random: Random): Promise<void> {
  const value = keyspace.value(key, text, { default: "absent" });
  using watcher = value.watch();
  using updates = value.updates.watch();
  using ending = keyspace.value(end, text).watch();
  let newest = "";
  let revision = 0;
  let present = false;
  const stop = new AbortController();
  const reading = [
    (async () => {
      for (;;) {
        newest = await watcher.get({ signal: stop.signal });
        await delay(random.below(20));
      }
    })(),
    (async () => {
      for (;;) {
        const update = await updates.get({ signal: stop.signal });
        expect(update.revision, "K3 revisions do not decrease").toBeGreaterThan(revision);
        if (update.type === "delete") expect(present, "K5 a delete goes only to who was handed the key").toBe(true);
        ({ revision } = update);
        present = update.type === "put";
      }
    })(),
  ].map((loop) => loop.catch((error: unknown) => error));
  expect(await ending.get()).toBe("1");
  await vi.waitFor(() => expect(history.at(Infinity).has(end)).toBe(true));
  const held = history.at(Infinity).get(key);
  // This watch and that of the last key are two: the one may be behind the other.
  await vi.waitFor(() => expect([newest, present]).toEqual([held?.value ?? "absent", held !== undefined]), {
    timeout: 10_000,
  });
  stop.abort("enough");
  expect(await Promise.all(reading)).toEqual(["enough", "enough"]);
}
