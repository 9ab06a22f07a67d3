/**
 * The contract of keyed and ranged values: state in a store with revisions, such as etcd.
 *
 * Nothing here runs. Keys are UTF-8 strings ordered by their bytes; a revision is the store's counter, a safe
 * integer; all keys are full keys, less the keyspace's namespace.
 */
import type { Codec, Decode } from "./codec.ts";
import type { EventValueError } from "./errors.ts";
import type { Sink, Watchable, Watcher, WatchOptions } from "./watchable.ts";

/** Options of a call to the store. */
export interface CallOptions {
  /** Aborting rejects the call with `signal.reason`. A write may have been applied all the same. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of a write. */
export interface WriteOptions extends CallOptions {
  /**
   * Write only if the key's revision is this one, as {@link Versioned.revision} gives it; 0: only if the key is
   * absent. Otherwise the write rejects with `EV_CONFLICT`, which has the current revision.
   */
  readonly ifRevision?: number | undefined;
  /** Binds the key to a lease: it disappears with it. A write without a lease unbinds it. */
  readonly lease?: Lease | undefined;
}

/** A stored value with its revisions. */
export interface Versioned<out T> {
  readonly value: T;
  /** The store's revision of the last write of the key. */
  readonly revision: number;
  /** The store's revision at which the key last came into being. */
  readonly createRevision: number;
}

/** One change of one key. */
export type KeyUpdate<T> =
  | {
      readonly type: "put";
      readonly key: string;
      readonly value: T;
      readonly revision: number;
      readonly createRevision: number;
    }
  | { readonly type: "delete"; readonly key: string; readonly revision: number };

/** A change whose bytes the decoder rejected, or whose key is not UTF-8 (then `key` has replacement characters). */
export interface InvalidUpdate {
  readonly type: "invalid";
  readonly key: string;
  readonly bytes: Uint8Array;
  readonly error: EventValueError;
  readonly revision: number;
}

/** Changes that bring who applies them exactly to the state of the range at `revision`. */
export interface Batch<out T> {
  /** `snapshot`: complete, the first thing a watcher read; `update`: changes since what it was given before. */
  readonly type: "snapshot" | "update";
  readonly revision: number;
  /** At most one a key, in revision order. */
  readonly changes: ReadonlyArray<KeyUpdate<T> | InvalidUpdate>;
}

/** The reading side of one key. `Absent` stands for "no such key": `undefined`, or nothing where there is a default. */
export interface ReadableKeyValue<out T, out Absent = undefined> extends Watchable<T | Absent> {
  /** The full key. */
  readonly key: string;
  /** The same changes, with their revisions. */
  readonly updates: Watchable<KeyUpdate<T>>;
  /**
   * Reads the key once, linearizably: as new as any write that ended before the call.
   *
   * @returns the value and its revisions; `undefined` where the key is absent (a default does not count here).
   * @throws {@link EventValueError} `EV_DECODE`, or what the store refused the call for. Lost connections are
   *   retried until `options.signal` is aborted.
   */
  read(options?: CallOptions): Promise<Versioned<T> | undefined>;
}

/** One key, to read and to write. */
export interface KeyValue<in out T, out Absent = undefined> extends ReadableKeyValue<T, Absent>, Sink<T> {
  /**
   * Writes the key.
   *
   * @returns the store's revision of the write, when the store has it.
   * @throws {@link EventValueError} `EV_CONFLICT` where `ifRevision` does not hold; `EV_UNAVAILABLE` with
   *   `maybeApplied: true` where the answer was lost; what the store refused the write for. A write that could not
   *   be sent yet is retried until `options.signal` is aborted.
   *
   *   A write with `ifRevision` whose answer was lost is resolved by looking at the key: it is sent again where the key
   *   is as it was, and in conflict where somebody else has written it. What looking cannot tell is who of two wrote,
   *   when the key holds just what was to be written: then the write counts as applied if it was bound to a lease, which
   *   nobody else has, and is an `EV_UNAVAILABLE` otherwise.
   */
  set(value: T, options?: WriteOptions): Promise<{ revision: number }>;
  /**
   * Reads the key, computes its new value and writes it if nobody else did in between, again and again until that
   * holds. `change` may therefore run several times; a promise it returns is a `TypeError`. Updates of one key by one
   * keyspace are made one after the other; against those of others, who has tried longest goes first, mostly.
   *
   * @throws {@link EventValueError} as {@link KeyValue.set}. A lost answer is resolved by looking, too, and besides where
   *   `change` would not change what the key holds now: then the update is done.
   */
  update(change: (current: T | Absent) => T, options?: WriteOptions): Promise<{ revision: number }>;
  /** Deletes the key. `deleted` tells whether it was there. Rejects as {@link KeyValue.set}. */
  delete(options?: WriteOptions): Promise<{ revision: number; deleted: boolean }>;
}

/** The reading side of a range of keys. */
export interface ReadableKeyRange<out T> extends Watchable<KeyUpdate<T>> {
  watch(options?: WatchOptions): RangeWatcher<T>;
  /** Reads the range once, linearizably, as one snapshot. Rejects as {@link ReadableKeyValue.read}, but for
   * `EV_DECODE`: what cannot be decoded is an entry of type `invalid`. */
  read(options?: CallOptions): Promise<Batch<T>>;
  /**
   * The range as a map that follows it. All live maps and watchers of one `KeyRange` share one copy of the data.
   *
   * @returns the map, when the first state is in: as new as any write that ended before the call. It follows the range
   *   until it is closed; aborting `options.signal` afterwards does nothing.
   * @throws {@link EventValueError} what the store refuses; `EV_CLOSED`. Lost connections are retried until
   *   `options.signal` is aborted.
   */
  live(options?: CallOptions): Promise<LiveMap<T>>;
}

/** A range of keys, to read and to write. Keys that are written must lie in the range. */
export interface KeyRange<in out T> extends ReadableKeyRange<T> {
  /** Writes one key of the range, as {@link KeyValue.set}. */
  set(key: string, value: T, options?: WriteOptions): Promise<{ revision: number }>;
  /** Changes one key of the range, as {@link KeyValue.update}. */
  update(key: string, change: (current: T | undefined) => T, options?: WriteOptions): Promise<{ revision: number }>;
  /** Deletes one key of the range, as {@link KeyValue.delete}. */
  delete(key: string, options?: WriteOptions): Promise<{ revision: number; deleted: boolean }>;
}

/** Options of {@link RangeWatcher.getBatch}. */
export interface GetBatchOptions {
  /** Aborting rejects this call only; nothing counts as delivered. */
  readonly signal?: AbortSignal | undefined;
  /** Deliver what is pending, or reject with `EV_BACKLOG_DONE`. */
  readonly backlogOnly?: boolean | undefined;
}

/** A watcher of a range: single changes by `get()`, or all that is pending at once by `getBatch()`. */
export interface RangeWatcher<out T> extends Watcher<KeyUpdate<T>> {
  /**
   * Resolves with all that is pending as one batch, waiting if there is nothing. Where it is the first thing the
   * watcher is asked for, it is the range's snapshot, complete and possibly empty.
   *
   * @throws {@link EventValueError} as {@link Watcher.get}.
   */
  getBatch(options?: GetBatchOptions): Promise<Batch<T>>;
  /** Iterates over what `getBatch()` gives; leaving the loop closes the watcher. */
  batches(): AsyncIterable<Batch<T>>;
}

/**
 * A range of keys as a map, which follows the store by itself. It is always a state that the store has been in, as
 * whole revisions are taken in at once; so is what a pass over it sees, if nothing is awaited in between. Keys are in
 * the order of their bytes in UTF-8. Values are decoded once and shared: do not change them in place.
 *
 * While the store cannot be reached the map stays as it was; {@link Keyspace.status} tells. Once closed, it throws
 * `EV_CLOSED`; where only the keyspace is closed, it stays as it was.
 *
 * @example
 * ```ts
 * import { MemoryKeyspace, text } from "event-value";
 *
 * const hosts = new MemoryKeyspace().range("hosts/", text);
 * await hosts.set("hosts/db", "10.0.0.7");
 * using map = await hosts.live();
 * const { revision } = await hosts.set("hosts/web", "10.0.0.8");
 * await map.atLeast(revision);
 * console.log([...map.keys()]); // [ 'hosts/db', 'hosts/web' ]
 * ```
 */
export interface LiveMap<out T> extends ReadonlyMap<string, T>, Watchable<Batch<T>>, Disposable {
  /** The state is the store's at this revision. It may be the same at later ones. */
  readonly revision: number;
  /** Keys whose values the decoder rejects, with the `EV_DECODE`. They are absent from the map. */
  readonly invalid: ReadonlyMap<string, EventValueError>;
  /**
   * Waits until the map is at `revision`, as a write gives it, or later: also where that revision has only changed keys
   * outside of the range. A store that was restored and is written to again before anybody has noticed cannot be told
   * from one that goes on: a revision that the map had reached before is reached.
   *
   * @returns the map
   * @throws {@link EventValueError} `EV_UNAVAILABLE` where the store was restored to an older revision, so that this
   *   one is not to come or would be another; what the store refuses; `EV_CLOSED`; `options.signal.reason`.
   */
  atLeast(revision: number, options?: CallOptions): Promise<this>;
  /** A copy, which stays as it is. */
  snapshot(): ReadonlyMap<string, T>;
  /**
   * Watches the range by batches: the first one is the whole state, a `snapshot`; the map is never behind them.
   *
   * A batch is a difference. Where values are skipped on the way to who needs them (in `combine`, or behind another
   * `get()` that takes them), it is the map that tells the state: `map(live, () => live.size)`.
   */
  watch(options?: WatchOptions): Watcher<Batch<T>>;
  /** Lets go of the range. What is open of its watchers is closed. */
  close(): void;
}

/** How a keyspace stands with its store. */
export type Status =
  /** Not reached yet. `cause` is what went wrong last. */
  | { readonly state: "connecting"; readonly since: Date; readonly cause?: unknown }
  /** The store answers; `revision` is the newest it was seen at. */
  | { readonly state: "live"; readonly revision: number }
  /** The store was reached before and does not answer since; what watchers have may be old. */
  | { readonly state: "stale"; readonly since: Date; readonly cause: unknown }
  | { readonly state: "closed" };

/** A lease: keys bound to it disappear when it ends. It is kept alive until it is closed or lost. */
export interface Lease extends AsyncDisposable {
  /** The store's id of it, in decimal. Ids exceed 2^53, so this is a string. */
  readonly id: string;
  /**
   * Aborted when the lease is lost: the store said so, or no keepalive was answered in time. Its reason is an
   * {@link EventValueError} `EV_LEASE_NOT_FOUND`; where the keyspace was closed, which ends its leases, `EV_CLOSED`.
   * Closing the lease itself does not abort it.
   *
   * A blocked event loop delays it, as it would any timer. Who has to be sure *fences* its writes: a write with
   * `{ lease }` is refused with `EV_LEASE_NOT_FOUND` once the lease is gone, and one with `ifRevision`, or in a
   * transaction with {@link ifRevision} of a key that is bound to the lease, once somebody else has taken over.
   */
  readonly lost: AbortSignal;
  /** Revokes the lease; its keys are deleted at once. */
  close(): Promise<void>;
}

/** Options of {@link Keyspace.lease}. */
export interface LeaseOptions extends CallOptions {
  /** How long the lease outlives its holder, in milliseconds; rounded up to seconds. The store may grant more. */
  readonly ttlMs: number;
}

/** Options of {@link Election.campaign}. */
export interface CampaignOptions extends CallOptions {
  /** How long the leadership outlives a leader that cannot be reached, in milliseconds. @defaultValue 10000 */
  readonly ttlMs?: number | undefined;
}

/**
 * The leadership of an {@link Election}: from when it was won until it is resigned or lost. At any revision of the store
 * there is one leader at most.
 */
export interface Leadership extends AsyncDisposable {
  /**
   * Aborted when the leadership is lost: its lease is (see {@link Lease.lost}, also for what delays it), or its key was
   * deleted. Its reason is an {@link EventValueError} `EV_LEASE_NOT_FOUND`, or `EV_CLOSED` where the keyspace was closed.
   * Resigning does not abort it.
   */
  readonly lost: AbortSignal;
  /** The revision with which the leader's candidacy began. Each leader's is higher than those before. */
  readonly revision: number;
  /**
   * The step of a {@link Keyspace.transaction} that lets it happen only as long as this leadership lasts, by the store's
   * own order: what a leader writes with it cannot come after its successor was elected.
   */
  readonly fence: TransactionOperation;
  /** Gives the leadership up: the next candidate has it at once. */
  resign(): Promise<void>;
}

/** One leader at a time among any number of candidates. Its candidates are keys below its name. */
export interface Election {
  /**
   * Waits to be the leader. Candidates come up in the order in which they began.
   *
   * @param value what {@link leader} tells of this candidate, such as its address
   * @throws {@link EventValueError} `EV_LEASE_NOT_FOUND` where the candidacy was lost while it waited, as a leadership
   *   is; what the store refuses; `EV_CLOSED`. Aborting `options.signal` withdraws.
   */
  campaign(value: string, options?: CampaignOptions): Promise<Leadership>;
  /** The leader, with its {@link Leadership.revision}; `undefined` while there is none. */
  readonly leader: Watchable<{ readonly value: string; readonly revision: number } | undefined>;
}

/** One step of a transaction: made by {@link put}, {@link remove} and {@link ifRevision}. */
export interface TransactionOperation {
  readonly type: "put" | "remove" | "ifRevision";
  readonly key: string;
}

/** What a range covers: a prefix, or all keys from `start` up to, and without, `end`. */
export type RangeSelector = string | { readonly start: string; readonly end: string };

/** A store of keys and values that can be watched. */
export interface Keyspace extends AsyncDisposable {
  /** The value of one key. With `default`, its value stands for absence. With a bare decode function: read-only. */
  value<T>(key: string, codec: Codec<T>, options: { readonly default: NoInfer<T> }): KeyValue<T, never>;
  value<T>(key: string, codec: Codec<T>): KeyValue<T>;
  value<T>(key: string, decode: Decode<T>, options: { readonly default: NoInfer<T> }): ReadableKeyValue<T, never>;
  value<T>(key: string, decode: Decode<T>): ReadableKeyValue<T>;
  /** A range of keys: a prefix (`""` is all keys), or from `start` to before `end`. */
  range<T>(range: RangeSelector, codec: Codec<T>): KeyRange<T>;
  range<T>(range: RangeSelector, decode: Decode<T>): ReadableKeyRange<T>;
  /**
   * Compares and writes several keys at once: either all conditions hold and everything is written, in one revision, or
   * nothing is. Watchers get all of it in one batch. Each key is written once at most.
   *
   * @returns the revision of the write; where nothing is written, that of the store
   * @throws {@link EventValueError} `EV_CONFLICT` for the first condition that does not hold; otherwise as
   *   {@link KeyValue.set}. A store may limit how much can be written at once: etcd, to 128 keys and 1.5 MB.
   *
   * @example
   * ```ts
   * import { ifRevision, json, MemoryKeyspace, put, remove, text } from "event-value";
   *
   * const keyspace = new MemoryKeyspace();
   * const waiting = keyspace.value("jobs/waiting/1", text);
   * const running = keyspace.value("jobs/running/1", json<{ job: string; by: string }>());
   * const { revision } = await waiting.set("resize images");
   * const job = { job: "resize images", by: "worker 7" };
   * await keyspace.transaction([ifRevision(waiting, revision), remove(waiting), put(running, job)]);
   * ```
   */
  transaction(operations: readonly TransactionOperation[], options?: CallOptions): Promise<{ revision: number }>;
  /** Grants a lease and keeps it alive. */
  lease(options: LeaseOptions): Promise<Lease>;
  /** An election, whose candidates are keys below `name`. */
  election(name: string): Election;
  /** How the keyspace stands with its store. Watching it connects. */
  readonly status: Watchable<Status>;
  /**
   * Closes everything that is open: watchers, leases (which are revoked), connections. A call that is under way rejects with
   * `EV_CLOSED`, and may have been carried out if it is a write: await what is to be known before. Takes some seconds at
   * most, also where the store cannot be reached.
   */
  close(): Promise<void>;
}
