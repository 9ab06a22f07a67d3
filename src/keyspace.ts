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
   */
  set(value: T, options?: WriteOptions): Promise<{ revision: number }>;
  /**
   * Reads the key, computes its new value and writes it if nobody else did in between, again and again until that
   * holds. `change` may therefore run several times; a promise it returns is a `TypeError`.
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
   * {@link EventValueError} `EV_LEASE_NOT_FOUND`. A blocked event loop delays it; who needs to be sure fences
   * writes with the lease or with `ifRevision`.
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
  /** Grants a lease and keeps it alive. */
  lease(options: LeaseOptions): Promise<Lease>;
  /** How the keyspace stands with its store. Watching it connects. */
  readonly status: Watchable<Status>;
  /** Closes everything that is open: watchers, leases (which are revoked), connections. */
  close(): Promise<void>;
}
