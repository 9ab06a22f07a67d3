/**
 * The directory of hosts: all that are known as one Event Value, to which each machine publishes its own state.
 *
 * There are two, behind one interface: in this process alone, or shared by many machines through etcd. Those who
 * consume it cannot tell which it is.
 */
import { isIP } from "node:net";
import {
  type Codec,
  isEventValueError,
  json,
  type Lease,
  map,
  MemoryValue,
  pipeTo,
  type Status,
  waitFor,
  type Watchable,
} from "event-value";
import { EtcdKeyspace } from "event-value/etcd";
import { type Host, run as thisRun } from "./machine.ts";

export interface Directory {
  readonly hosts: Watchable<Hosts>;
  /** Where the hosts are kept, for people. */
  readonly where: string;
  /** How that stands, for people. */
  readonly state: Watchable<string>;
  /** Publishes `machine` and follows the other hosts until `close()`; rejects then, or when that is refused for good. */
  run(machine: Watchable<Host>): Promise<void>;
  /** Takes this machine out of the directory, and ends `hosts`. */
  close(): Promise<void>;
}

export interface Hosts {
  /** How many changes this process has seen. Consumers tell by it what they skipped. */
  readonly change: number;
  readonly byName: ReadonlyMap<string, Host>;
  /** Keys of the store that hold something else than a host. */
  readonly unreadable: ReadonlySet<string>;
}

/** A directory that holds this machine only. It needs nothing but memory. */
export function inThisProcess(name: string): Directory {
  const hosts = new MemoryValue<Hosts>();
  const publish = (host: Host): Hosts =>
    hosts.update((known) => ({
      change: (known?.change ?? 0) + 1,
      byName: new Map([[name, host]]),
      unreadable: new Set(),
    }));
  const state = new MemoryValue({
    initial: "npm start -- --store URL finds other machines, npm start -- --help tells more",
  });
  return {
    hosts,
    where: "in this process",
    state,
    run: (machine) => pipeTo(machine, publish),
    async close() {
      hosts.close();
      state.close();
    },
  };
}

/** What {@link inEtcd} is told. */
export interface EtcdOptions {
  readonly endpoints: readonly string[];
  readonly name: string;
  /** How long this machine's entry stays when the machine is gone without a word. */
  readonly ttlMs: number;
}

/** A directory in etcd: an entry `hosts/NAME` for each machine, bound to a lease, so that it disappears with it. */
export function inEtcd({ endpoints, name, ttlMs }: EtcdOptions): Directory {
  const keyspace = new EtcdKeyspace({ endpoints, staleAfterMs: 3000 });
  const entries = keyspace.range(prefix, hostCodec);
  const key = prefix + name;
  const hosts = new MemoryValue<Hosts>();
  let closed = false;

  /** Follows all entries. Connections come and go unseen: whatever changed in between is in the next batch. */
  async function follow(): Promise<void> {
    const byName = new Map<string, Host>();
    const unreadable = new Set<string>();
    let change = 0;
    for await (const { changes } of entries.watch().batches()) {
      for (const update of changes) {
        const host = update.key.slice(prefix.length);
        byName.delete(host);
        unreadable.delete(update.key);
        if (update.type === "put") byName.set(host, update.value);
        if (update.type === "invalid") unreadable.add(update.key);
      }
      // Before this machine is in it (again), the directory is not complete: nobody is to act on it.
      if (byName.get(name)?.run !== thisRun) continue;
      hosts.set({ change: ++change, byName: new Map(byName), unreadable: new Set(unreadable) });
    }
  }

  /** Publishes under one lease after the other: a lease is lost when etcd was out of reach for longer than its TTL. */
  async function publish(machine: Watchable<Host>): Promise<void> {
    for (;;) {
      const lease = await keyspace.lease({ ttlMs });
      const held = { lease, signal: lease.lost };
      try {
        await claim(await waitFor(machine, () => true), held);
        // One write at a time: samples taken meanwhile are conflated, and the newest is written next.
        await pipeTo(machine, (host) => insist(() => entries.set(key, host, held)), { signal: held.signal });
        return;
      } catch (error) {
        if (closed || !isEventValueError(error, "EV_LEASE_NOT_FOUND")) throw error;
      }
    }
  }

  /** Writes the first entry under a lease, unless the name is another process's. */
  async function claim(host: Host, held: { lease: Lease; signal: AbortSignal }): Promise<void> {
    const isTaken = (entry: Host | undefined): boolean => entry !== undefined && entry.run !== thisRun;
    const decode = (bytes: Uint8Array): Host => hostCodec.decode(bytes, key);
    const watcher = keyspace
      .value<Host | undefined>(key, decode, { default: undefined })
      .watch({ signal: held.signal });
    if (isTaken(await watcher.get())) {
      // A process that lives writes again in a moment; the entry of one that died disappears with its lease.
      await watcher.get({ signal: AbortSignal.timeout(2 * ttlMs) }).catch(() => {});
    }
    watcher.close();
    const unlessTaken = (current: Host | undefined): Host => {
      if (!isTaken(current)) return host;
      throw new Error(`another process publishes ${key} in this etcd: choose another name with --name NAME`);
    };
    await insist(() => entries.update(key, unlessTaken, held));
  }

  return {
    hosts,
    where: `in etcd at ${endpoints.join(", ")}`,
    state: map(keyspace.status, describe),
    run: async (machine) => void (await Promise.all([publish(machine), follow()])),
    close: async () => {
      closed = true;
      hosts.close();
      await keyspace.close(); // revokes the lease: our entry disappears at once
    },
  };
}

/** Repeats a write whose answer was lost: these writes may happen twice. */
async function insist(write: () => Promise<unknown>): Promise<void> {
  for (;;) {
    try {
      await write();
      return;
    } catch (error) {
      if (!isEventValueError(error, "EV_UNAVAILABLE")) throw error;
    }
  }
}

function describe(status: Status): string {
  switch (status.state) {
    case "live":
      return "connected";
    case "connecting":
      return `connecting since ${time(status.since)}${because(status.cause)}`;
    case "stale":
      return `no answer since ${time(status.since)}, what is shown was true then${because(status.cause)}`;
    case "closed":
      return "left";
  }
}

function time(date: Date): string {
  return date.toTimeString().slice(0, 8);
}

function because(cause: unknown): string {
  return cause instanceof Error ? `\n${cause.message}` : "";
}

const prefix = "hosts/";

/** Whether `name` can stand in a hosts file. */
export function isHostName(name: string): boolean {
  return /^[\w-]+(\.[\w-]+)*$/.test(name) && name.length < 254;
}

const unchecked = json<Host>();

/** What others wrote is going to stand in a hosts file and on a terminal: it is checked when it is decoded. */
const hostCodec: Codec<Host> = {
  encode: (host, key) => unchecked.encode(host, key),
  decode(bytes, key) {
    const host = unchecked.decode(bytes, key);
    const numbers = [host.sample, host.load, host.freeMemory, host.totalMemory, host.uptime];
    const isHost =
      isHostName(key.slice(prefix.length)) &&
      typeof host.run === "string" &&
      numbers.every(Number.isFinite) &&
      Array.isArray(host.addresses) &&
      host.addresses.every(
        ({ interface: name, address, internal }) =>
          /^\P{C}+$/u.test(name) && isIP(address) > 0 && typeof internal === "boolean",
      );
    if (!isHost) throw new TypeError("not the state of a host");
    return host;
  },
};
