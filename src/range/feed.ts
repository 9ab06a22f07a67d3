/**
 * What watchers of a range stand on: a log, who waits for it, and how fresh it is.
 *
 * A backend implements this, once for each `KeyValue` or `KeyRange` that is watched, and keeps the log up to date; the
 * watchers are the same for all backends.
 *
 * Freshness is told in numbered reads: a watcher that begins asks for a read of the store that begins after that
 * moment, and waits until the log has caught up with one. Reads are shared by all who ask before they begin.
 */
import type { WaitList } from "../internal/pull-watcher.ts";
import type { ConflatingLog } from "./conflating-log.ts";

export interface Feed {
  readonly log: ConflatingLog;
  /** Woken when the log has news or the feed is fresher than before. */
  readonly waiting: WaitList;
  /** Whether the keyspace was closed: nothing is delivered any more. */
  readonly ended: boolean;
  /** The log holds what the reads with numbers up to this one have seen. */
  readonly freshTo: number;
  /** How many read the log at any time, and not only when it is settled: while there are, merges are made at once. */
  readers: number;
  /** How long the watch may take to bring what the store knows already, in ms, before it is worth a {@link demand}. */
  readonly patienceMs: number;
  /** Asks for a read that begins from now on, and returns its number. */
  demand(): number;
  /** A watcher asks for news: a feed that gave up after an error tries again. */
  asked(): void;
  /** A watcher of this feed was closed. */
  released(): void;
}
