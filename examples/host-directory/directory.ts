/**
 * The directory of hosts: all that are known as one Event Value, to which each machine publishes its own state.
 *
 * It is kept in a keyspace, an entry `hosts/NAME` for each machine, bound to a lease, so that it disappears with it. It
 * makes no difference whether that keyspace is in this process alone, or shared by many machines.
 */
import { isIP } from "node:net";
import {
  announce,
  type Codec,
  filter,
  json,
  type Keyspace,
  type MemoryValue,
  pipeTo,
  waitFor,
  type Watchable,
  type WriteOptions,
} from "event-value";
import { type Host, run as thisRun } from "./machine.ts";

export interface Hosts {
  /** How many changes this process has seen. Consumers tell by it what they skipped. */
  readonly change: number;
  /** In the order of their names. */
  readonly byName: ReadonlyMap<string, Host>;
  /** Keys of the store that hold something else than a host. */
  readonly unreadable: readonly string[];
}

const prefix = "hosts/";

function nameOf(key: string): string {
  return key.slice(prefix.length);
}

/** Whether `name` can stand in a hosts file. */
export function isHostName(name: string): boolean {
  return /^[\w-]+(\.[\w-]+)*$/.test(name) && name.length < 254;
}

const unchecked = json<Host>();

/** What others wrote is going to stand in a hosts file and on a terminal: it is checked when it is decoded. */
const hostCodec: Codec<Host> = {
  ...unchecked,
  decode(bytes, key) {
    const host = unchecked.decode(bytes, key);
    const numbers = [host.sample, host.load, host.freeMemory, host.totalMemory, host.uptime];
    const isHost =
      isHostName(nameOf(key)) &&
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

/** Who this machine is in the directory. */
export interface Membership {
  readonly name: string;
  /** How long its entry stays when it is gone without a word. */
  readonly ttlMs: number;
}

/**
 * Publishes `machine` until `signal` is aborted, and all hosts that there are to `hosts` until the keyspace is closed.
 * Rejects then, or when that is refused for good.
 */
export async function takePart(
  keyspace: Keyspace,
  { name, ttlMs }: Membership,
  machine: Watchable<Host>,
  hosts: MemoryValue<Hosts | undefined, never>,
  signal: AbortSignal,
): Promise<void> {
  const key = prefix + name;
  const entries = keyspace.range(prefix, hostCodec);
  const live = await entries.live();

  const unlessTaken = (host: Host) => (entry: Host | undefined) => {
    if (!isTaken(entry)) return host;
    throw new Error(`another process publishes ${key} in this etcd: choose another name with --name NAME`);
  };
  const entry = {
    async set(host: Host, options: WriteOptions) {
      const found = live.get(key);
      if (isTaken(found)) {
        // A process that lives writes again in a moment; the entry of one that died disappears with its lease.
        await waitFor(live, () => live.get(key) !== found, { signal: AbortSignal.timeout(2 * ttlMs) }).catch(() => {});
      }
      return entries.update(key, unlessTaken(host), options);
    },
  };

  // Before this machine is in it (again), the directory is not complete: nobody is to act on it.
  const complete = filter(live, () => live.get(key)?.run === thisRun);
  const following = pipeTo(complete, () => {
    const byName = new Map([...live].map(([each, host]) => [nameOf(each), host]));
    const unreadable = [...live.invalid.keys()];
    hosts.update((known) => ({ change: (known?.change ?? 0) + 1, byName, unreadable }));
  });
  await Promise.all([announce(keyspace, entry, machine, { ttlMs, signal }), following]);
}

function isTaken(entry: Host | undefined): boolean {
  return entry !== undefined && entry.run !== thisRun;
}
