/**
 * What a backend has to give, so that keys, ranges, transactions, live maps and elections work on it.
 *
 * Keys are users' keys throughout; what a backend calls them is its own business. All checks of arguments are made
 * before a store is asked.
 */
import type { EventValueError } from "../errors.ts";
import type { Lease, RangeSelector } from "../keyspace.ts";
import type { StoredKey } from "../range/conflating-log.ts";
import type { Feed } from "../range/feed.ts";

/** One key, or a range of keys. */
export type Extent = { readonly key: string } | { readonly range: RangeSelector };

/** An extent of a store, which one `KeyValue` or `KeyRange` watches and reads. */
export interface Source {
  /** The feed, for one more watcher. @throws `EV_CLOSED` once the keyspace is closed */
  enter(): Feed;
  /** Reads the extent, linearizably. `key` is what errors name. */
  read(signal: AbortSignal | undefined, key?: string): Promise<{ revision: number; keys: StoredKey[] }>;
}

/** A change of one key. */
export type Change =
  | { readonly type: "put"; readonly key: string; readonly bytes: Uint8Array; readonly lease: string | undefined }
  | { readonly type: "delete"; readonly key: string };

/** The key is as it was written at `revision`, or merely came into being then; 0: it is absent. */
export interface Condition {
  readonly key: string;
  readonly revision: number;
  readonly of: "last write" | "creation";
}

/** Whether the condition holds where its key is as `found`. */
export function isMet({ revision, of }: Condition, found: StoredKey | undefined): boolean {
  return ((of === "creation" ? found?.createRevision : found?.revision) ?? 0) === revision;
}

/** Changes that are made all together, if all conditions hold, or not at all. */
export interface Commit {
  readonly conditions: readonly Condition[];
  readonly changes: readonly Change[];
}

/** What came of a {@link Commit}. */
export type Outcome =
  /** It was made. `deleted` tells how many keys were there to be deleted. */
  | { readonly type: "applied"; readonly revision: number; readonly deleted: number }
  /** Some condition did not hold. `found` is what was there, a key for each of the conditions. */
  | { readonly type: "conflict"; readonly found: readonly (StoredKey | undefined)[] }
  /**
   * The answer was lost, and looking does not tell what came of it. `found` is what one of the commit's keys holds now,
   * and `error` what to say of it.
   */
  | { readonly type: "unclear"; readonly found: StoredKey | undefined; readonly error: EventValueError };

export interface Store {
  source(extent: Extent): Source;
  /**
   * Tries until the store has answered.
   *
   * @throws `EV_UNAVAILABLE` with `maybeApplied` where the answer was lost and looking at the keys does not tell what
   *   came of it; what the store refused; `EV_CLOSED`; `signal.reason`.
   */
  commit(commit: Commit, signal: AbortSignal | undefined): Promise<Outcome>;
  /** Grants a lease of at least `ttlMs`, and keeps it alive. */
  grant(ttlMs: number, signal: AbortSignal | undefined): Promise<Lease>;
  /** Aborted when the keyspace is closed, with an `EV_CLOSED`. */
  readonly closed: AbortSignal;
}
