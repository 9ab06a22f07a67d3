/**
 * The store behind `MemoryKeyspace`: what an etcd server is, in the process. Keys with their revisions, leases, and
 * who follows which keys.
 *
 * A commit is made at once, and those who follow its keys are told in the microtask after: nobody is told anything in
 * the middle of a decoder, a filter or another commit. Several keyspaces may share one store, as clients share a cluster;
 * closing one of them leaves the store as it is.
 */
import { errorOf, EventValueError } from "../errors.ts";
import { mostMs } from "../internal/backoff.ts";
import type { RangeSelector } from "../keyspace.ts";
import { type Change, type Commit, type Condition, type Extent, type Outcome, isMet } from "../keyspace/store.ts";
import type { StoredKey } from "../range/conflating-log.ts";
import { compareKeys, encodeText, liesIn, quoted } from "../range/keys.ts";

/** What the store needs of time, so that tests can have one of their own. */
export interface Clock {
  /** Milliseconds of a clock that never goes back. */
  now(): number;
  /** Calls `run` once, `ms` from now, unless what is returned is called before. */
  after(ms: number, run: () => void): () => void;
}

/** The process' own. */
const monotonic: Clock = {
  now: () => performance.now(),
  after(ms, run) {
    let timer: ReturnType<typeof setTimeout>;
    const wait = (left: number): void => {
      timer = left > mostMs ? setTimeout(() => wait(left - mostMs), mostMs) : setTimeout(run, left);
      // Where it would be all that is left, the process ends, and the store with it.
      (timer as { unref?: () => void }).unref?.();
    };
    wait(ms);
    return () => clearTimeout(timer);
  },
};

/** One change that a commit made. */
export type Made =
  | { readonly type: "put"; readonly stored: StoredKey }
  | { readonly type: "delete"; readonly key: string };

/** Somebody who is told of commits to the keys of an extent. */
export interface Follower {
  /** All that one commit has changed of the extent, at once. */
  changed(changes: readonly Made[], revision: number): void;
}

/** What followers are told of. */
interface Told {
  readonly made: readonly Made[];
  readonly revision: number;
}

/** A key, and the lease it is bound to. */
interface Held extends StoredKey {
  readonly lease: string | undefined;
}

/** A lease, as the store knows it. */
interface GrantedLease {
  readonly ttlMs: number;
  /** By the store's clock. */
  expiresAt: number;
  /** Stops the timer that ends it. */
  cancel: () => void;
  readonly keys: Set<string>;
  /** Tells the holder that it is over. */
  readonly ended: () => void;
}

/** As many operations as etcd takes by default; as many bytes, too. */
const mostOperations = 128;
const mostBytes = 1.5 * 1024 * 1024;
/** What its messages add to a key, and to the request, at most. */
const mostOverhead = 64;

export class MemoryStore {
  readonly clock: Clock;
  readonly #held = new Map<string, Held>();
  readonly #leases = new Map<string, GrantedLease>();
  /** Those who follow ranges. */
  readonly #followers = new Set<Follower & { readonly range: RangeSelector }>();
  /** Those who follow one key, by key. */
  readonly #byKey = new Map<string, Set<Follower>>();
  /** As in an etcd that was never written to. */
  #revision = 1;
  /** Commits that followers have not been told of, oldest first. */
  readonly #untold: Told[] = [];
  #telling = false;

  constructor(clock: Clock = monotonic) {
    this.clock = clock;
  }

  get revision(): number {
    return this.#revision;
  }

  /** What the extent holds, in the order of revisions; what has the same, in that of keys. */
  read(extent: Extent): StoredKey[] {
    if ("key" in extent) {
      const held = this.#held.get(extent.key);
      return held === undefined ? [] : [held];
    }
    const found: StoredKey[] = [];
    for (const held of this.#held.values()) if (liesIn(extent.range, held.key)) found.push(held);
    return found.sort((a, b) => a.revision - b.revision || compareKeys(a.key, b.key));
  }

  /** Tells `follower` of the extent's changes, until what is returned is called. */
  follow(extent: Extent, follower: Follower): () => void {
    if ("range" in extent) {
      const entry = { range: extent.range, changed: follower.changed.bind(follower) };
      this.#followers.add(entry);
      return () => this.#followers.delete(entry);
    }
    const { key } = extent;
    const same = this.#byKey.get(key) ?? new Set();
    this.#byKey.set(key, same.add(follower));
    return () => {
      if (same.delete(follower) && same.size === 0) this.#byKey.delete(key);
    };
  }

  /** Makes a commit. `nameOf` gives the names of its keys for messages. @throws what etcd would refuse it for */
  commit({ conditions, changes }: Commit, nameOf: (key: string) => string = (key) => key): Outcome {
    checkSize(conditions, changes);
    const found = conditions.map(({ key }) => this.#held.get(key));
    if (conditions.some((condition, i) => !isMet(condition, found[i]))) return { type: "conflict", found };
    for (const change of changes) {
      if (change.type !== "put" || change.lease === undefined || this.#leases.has(change.lease)) continue;
      const key = nameOf(change.key);
      throw errorOf(
        "EV_LEASE_NOT_FOUND",
        `the store has no lease ${change.lease}, to which ${quoted(key)} was to be bound`,
        { key },
      );
    }
    const deleted = this.#make(changes);
    return { type: "applied", revision: this.#revision, deleted };
  }

  /** Grants a lease, which ends `ttlMs` from now unless it is kept alive. `ended` is called when it does by itself. */
  grant(ttlMs: number, ended: () => void): string {
    const id = newLeaseId();
    const lease: GrantedLease = { ttlMs, expiresAt: 0, cancel: () => {}, keys: new Set(), ended };
    this.#leases.set(id, lease);
    this.#prolong(id, lease);
    return id;
  }

  /** The holder is there. A lease whose time is over is over, even if nobody has noticed yet. */
  keepAlive(id: string): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    if (this.clock.now() >= lease.expiresAt) this.expire(id);
    else this.#prolong(id, lease);
  }

  /** The lease is over: its keys go, and its holder is told. Returns whether there was one. */
  expire(id: string): boolean {
    const lease = this.#leases.get(id);
    if (lease === undefined) return false;
    this.revoke(id);
    lease.ended();
    return true;
  }

  /** Ends a lease; its keys go with it. */
  revoke(id: string): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    lease.cancel();
    this.#leases.delete(id);
    this.#make([...lease.keys].sort(compareKeys).map((key) => ({ type: "delete", key })));
  }

  #prolong(id: string, lease: GrantedLease): void {
    lease.cancel();
    lease.expiresAt = this.clock.now() + lease.ttlMs;
    lease.cancel = this.clock.after(lease.ttlMs, () => this.expire(id));
  }

  /** Changes keys, tells who follows them, and returns how many were deleted. */
  #make(changes: readonly Change[]): number {
    const made: Made[] = [];
    const revision = this.#revision + 1;
    for (const change of changes) {
      const { key } = change;
      const before = this.#held.get(key);
      if (change.type === "delete" && before === undefined) continue;
      if (before?.lease !== undefined) this.#leases.get(before.lease)?.keys.delete(key);
      if (change.type === "delete") {
        this.#held.delete(key);
        made.push({ type: "delete", key });
        continue;
      }
      const { lease } = change;
      // A codec may use its array again.
      const bytes = new Uint8Array(change.bytes);
      const held: Held = { key, bytes, revision, createRevision: before?.createRevision ?? revision, lease };
      this.#held.set(key, held);
      if (lease !== undefined) this.#leases.get(lease)?.keys.add(key);
      made.push({ type: "put", stored: held });
    }
    if (made.length === 0) return 0;
    this.#revision = revision;
    this.#untold.push({ made, revision });
    if (this.#untold.length === 1) queueMicrotask(() => this.tell());
    return made.filter(({ type }) => type === "delete").length;
  }

  /** Tells followers of all that was made. Not to be called in the middle of anything. */
  tell(): void {
    // Who is told may commit something, which is told in its turn: nobody goes back in time.
    if (this.#telling) return;
    this.#telling = true;
    for (let commit = this.#untold.shift(); commit !== undefined; commit = this.#untold.shift()) this.#tell(commit);
    this.#telling = false;
  }

  #tell({ made, revision }: Told): void {
    for (const change of made) {
      for (const follower of this.#byKey.get(keyOf(change)) ?? []) follower.changed([change], revision);
    }
    for (const follower of this.#followers) {
      const concerned = made.filter((change) => liesIn(follower.range, keyOf(change)));
      if (concerned.length > 0) follower.changed(concerned, revision);
    }
  }
}

function keyOf(change: Made): string {
  return change.type === "put" ? change.stored.key : change.key;
}

/** Like etcd's: beyond what a number holds. */
let leases = 0n;
function newLeaseId(): string {
  return String((BigInt(Math.floor(Math.random() * 2 ** 30)) << 32n) + (1n << 62n) + leases++);
}

function checkSize(conditions: readonly Condition[], changes: readonly Change[]): void {
  if (conditions.length > mostOperations || changes.length > mostOperations) {
    throw new EventValueError(
      "EV_RESOURCE_EXHAUSTED",
      `a transaction has at most ${mostOperations} conditions, and as many writes`,
    );
  }
  let bytes = 0;
  // A condition's key goes to etcd twice: to be compared, and to be read where it does not hold.
  for (const { key } of conditions) bytes += 2 * (encodeText(key).length + mostOverhead);
  for (const change of changes) {
    bytes += encodeText(change.key).length + mostOverhead + (change.type === "put" ? change.bytes.length : 0);
  }
  if (bytes > mostBytes) {
    throw new EventValueError("EV_RESOURCE_EXHAUSTED", `a write of ${bytes} bytes is too large: at most ${mostBytes}`);
  }
}
