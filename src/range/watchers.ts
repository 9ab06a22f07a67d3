/**
 * Watchers of keys and ranges: cursors on the log of a feed.
 *
 * The first get of a watcher waits until the feed is as fresh as a read that began after it; from then on what the
 * log has is delivered, and nothing is asked of the store.
 */
import type { Decode } from "../codec.ts";
import { checkOptions, type Known } from "../internal/arguments.ts";
import { macrotask } from "../internal/macrotask.ts";
import {
  type AskOptions,
  ENDED,
  NOTHING,
  PullWatcher,
  rejected,
  UNKNOWN,
  type WaitList,
} from "../internal/pull-watcher.ts";
import type { Batch, GetBatchOptions, InvalidUpdate, KeyUpdate, RangeWatcher } from "../keyspace.ts";
import type { Watcher, WatchOptions } from "../watchable.ts";
import type { Cursor, LogEntry } from "./conflating-log.ts";
import { changeOf, decoded, updateOf } from "./decoding.ts";
import type { Feed } from "./feed.ts";

/** A watcher whose values come from a cursor. */
abstract class LogWatcher<out T> extends PullWatcher<T> {
  protected readonly feed: Feed;
  protected readonly cursor: Cursor;
  /** The read that the first delivery has to have seen; 0 once there was one. */
  #needs: number;
  #detached = false;
  /** Makes the batch that is waited for, where that has very many changes. */
  #making: Making<unknown> | undefined;

  /** Where it need not be `fresh`, it asks nothing of the store. */
  constructor(feed: Feed, fresh = true) {
    super();
    this.#needs = fresh ? Infinity : 0;
    this.feed = feed;
    this.cursor = feed.log.join();
  }

  /** Takes the next change from the cursor, or `NOTHING`. */
  protected abstract take(): unknown;

  protected override get waiting(): WaitList {
    return this.feed.waiting;
  }

  protected override ask(iterating: boolean, options?: AskOptions): Promise<unknown> {
    if (!this.pending && !this.#detached && !options?.signal?.aborted) {
      this.feed.asked();
      // An aborted first get has delivered nothing, so the next one is the first again.
      if (this.#needs > 0) this.#needs = this.feed.demand();
    }
    return super.ask(iterating, options);
  }

  protected override poll(): unknown {
    const { feed } = this;
    if (feed.ended) return ENDED;
    if (this.#needs > 0) {
      if (feed.freshTo < this.#needs) return UNKNOWN;
      this.#needs = 0;
    }
    if (feed.log.merging) return UNKNOWN;
    const value = this.take();
    // A decoder may do anything, and so close its own watcher.
    return this.#detached && (value === UNKNOWN || value === NOTHING) ? ENDED : value;
  }

  /** Takes all changes, as a batch. */
  protected takeBatch<B>(decode: Decode<B>): unknown {
    if (this.#making === undefined) {
      if (this.cursor.most <= changesAtOnce) return batchOf(this.feed, this.cursor, decode);
      this.#making = new Making(this.feed, this.cursor, decode, () => this.retry());
    }
    let batch: unknown;
    try {
      batch = this.#making.take();
      return batch;
    } finally {
      // Also where its decoder throws.
      if (batch !== UNKNOWN) this.beginBatch();
    }
  }

  /** Another batch is asked for, or none any more. */
  protected beginBatch(): void {
    this.#making?.end();
    this.#making = undefined;
  }

  protected get pending(): boolean {
    return this.settle !== null;
  }

  protected override detach(): void {
    if (this.#detached) return;
    this.#detached = true;
    this.beginBatch();
    this.cursor.close();
    this.feed.released();
  }

  /** Rejects the pending get, which waits in the feed's list; the watcher stays usable. */
  fail(error: unknown): void {
    this.unlink();
    this.answer(rejected(error));
  }
}

/** Rejects all pending gets of a feed's watchers. */
export function failAll(waiting: WaitList, error: unknown): void {
  for (let left = waiting.size; left > 0 && waiting.size > 0; left--)
    (waiting.after as LogWatcher<unknown>).fail(error);
}

/** What stands for an absent key: nothing, so that watchers wait for its first put, or a value. */
export type Absence<A> = { readonly value: A } | undefined;

/** Opens a watcher of the value of the one key of `feed`. */
export function watchValue<T, A>(
  feed: Feed,
  decode: Decode<T>,
  absence: Absence<A>,
  options: WatchOptions | undefined,
): Watcher<T | A | undefined> {
  return new ValueWatcher(feed, decode, absence).closeOn(options?.signal);
}

/** Opens a watcher of the updates of the one key of `feed`. */
export function watchUpdates<T>(
  feed: Feed,
  decode: Decode<T>,
  options: WatchOptions | undefined,
): Watcher<KeyUpdate<T>> {
  return new UpdateWatcher(feed, decode).closeOn(options?.signal);
}

/** Opens a watcher of the range of `feed`. */
export function watchRange<T>(feed: Feed, decode: Decode<T>, options: WatchOptions | undefined): RangeWatcher<T> {
  return new BatchWatcher(feed, decode).closeOn(options?.signal);
}

/** Opens a watcher of the range of `feed`, by batches only. */
export function watchBatches<T>(
  feed: Feed,
  decode: Decode<T>,
  options: WatchOptions | undefined,
  onClose: (watcher: Watcher<Batch<T>>) => void = () => {},
): Watcher<Batch<T>> {
  return new WholeWatcher(feed, decode, onClose).closeOn(options?.signal);
}

/** Opens a watcher that gives its cursor, when the log is fresh and all of it decoded. */
export function watchReady<T>(feed: Feed, decode: Decode<T>): Watcher<Cursor> {
  return new ReadyWatcher(feed, decode);
}

/** Opens a watcher that waits until the log is at `revision`, or the store was rewound, and asks nothing of the store. */
export function watchRevision(feed: Feed, revision: number): Watcher<true> {
  return new RevisionWatcher(feed, revision);
}

/** Opens a watcher whose first get waits until the feed is as fresh as a read that begins then. */
export function watchFreshness(feed: Feed): Watcher<true> {
  return new FreshWatcher(feed);
}

class ValueWatcher<T, A> extends LogWatcher<T | A | undefined> {
  readonly #decode: Decode<T>;
  readonly #absence: Absence<A>;
  #begun = false;

  constructor(feed: Feed, decode: Decode<T>, absence: Absence<A>) {
    super(feed);
    this.#decode = decode;
    this.#absence = absence;
  }

  protected override take(): unknown {
    const entry = this.cursor.next();
    const begun = this.#begun;
    this.#begun = true;
    if (entry === undefined) return begun || this.#absence === undefined ? NOTHING : this.#absence.value;
    if (!entry.live) return this.#absence?.value;
    const result = decoded(entry, this.#decode);
    if ("error" in result) throw result.error;
    return result.value;
  }
}

class UpdateWatcher<T> extends LogWatcher<KeyUpdate<T>> {
  protected readonly decode: Decode<T>;

  constructor(feed: Feed, decode: Decode<T>) {
    super(feed);
    this.decode = decode;
  }

  protected override take(): unknown {
    const of = this.cursor.next();
    if (of === undefined) return NOTHING;
    const { log } = this.feed;
    if (log.told?.of !== of) log.told = { of, change: updateOf(of, this.decode) };
    return log.told.change;
  }
}

type Change<T> = KeyUpdate<T> | InvalidUpdate;

/** How many changes are gone through before others have the event loop: some milliseconds of it, mostly. */
const changesAtOnce = 4096;

/** Looks through what a cursor is owed, some at each turn of the event loop: to decode a million values takes seconds. */
class Looking {
  readonly #cursor: Cursor;
  /** Has the watcher ask again, if it still waits. */
  readonly #again: () => void;
  /** Told where it did not. */
  readonly #givenUp: () => void;
  /** The head of the log when this began. What comes meanwhile is not looked at, or there might be no end of it. */
  readonly #head: number;
  /** The slot it has come to. */
  #looked = 0;
  /** Whether it goes on when the loop has turned. */
  #turning = false;

  constructor(feed: Feed, cursor: Cursor, again: () => void, givenUp: () => void = () => {}) {
    this.#head = feed.log.head;
    this.#cursor = cursor;
    this.#again = again;
    this.#givenUp = givenUp;
  }

  /** Shows some of the changes, and tells whether these were the last. If not, the watcher will ask again. */
  goOn(show: (entry: LogEntry) => void): boolean {
    if (this.#turning) return false;
    const looked = this.#cursor.look(this.#looked, this.#head, changesAtOnce, show);
    if (looked === undefined) return true;
    this.#looked = looked;
    this.#turning = true;
    macrotask(() => {
      this.#turning = false;
      this.#again();
      if (!this.#turning) this.#givenUp();
    });
    return false;
  }
}

/**
 * All changes there are, as a batch; `NOTHING` where there are none, and where the watcher's own decoder has closed it. They
 * are decoded before they are taken: whatever a decoder does, nothing is lost.
 */
function batchOf<T>(feed: Feed, cursor: Cursor, decode: Decode<T>): Batch<T> | typeof NOTHING {
  const { log } = feed;
  for (;;) {
    const { version } = log;
    const changes = roomFor<T>(cursor);
    let count = 0;
    let looked: number | undefined = 0;
    while (looked !== undefined) {
      looked = cursor.look(looked, log.head, Infinity, (entry) => {
        changes[count++] = changeOf(entry, decode);
      });
    }
    // A decoder may close other watchers, and so have the log swept: then again, with all of it decoded.
    if (version === log.version) return taken(feed, cursor, changes, count);
  }
}

/** An array for all changes there may be: one of a million that grows leaves two of the kind behind. */
function roomFor<T>({ most }: Cursor): Change<T>[] {
  const changes: Change<T>[] = [];
  // One of a few would have room for seventeen.
  if (most > changesAtOnce) changes.length = most;
  return changes;
}

/** The batch, of the changes that the cursor is owed: it takes them. */
function taken<T>(feed: Feed, cursor: Cursor, changes: Change<T>[], count: number): Batch<T> | typeof NOTHING {
  if (cursor.closed) return NOTHING;
  const type = cursor.pristine ? "snapshot" : "update";
  changes.length = count;
  cursor.skip();
  return type === "update" && count === 0 ? NOTHING : { type, revision: feed.log.revision, changes };
}

/**
 * Makes one batch of very many changes, some at each turn of the event loop: while their values are decoded, and unless the
 * log changes meanwhile. Then what was made is void, though not what was decoded.
 *
 * Only one of a log is made so at a time, as thousands that join at once would have as many of them half made; the others
 * decode, which is done once for all, and make theirs when that is done.
 */
class Making<T> {
  readonly #feed: Feed;
  readonly #cursor: Cursor;
  readonly #decode: Decode<T>;
  readonly #looking: Looking;
  /** What was made so far, and room for the rest; undefined where it is void, or another one's turn. */
  #changes: Change<T>[] | undefined;
  #count = 0;
  /** The version of the log that it is of. */
  readonly #version: number;

  constructor(feed: Feed, cursor: Cursor, decode: Decode<T>, again: () => void) {
    const { log } = feed;
    this.#feed = feed;
    this.#cursor = cursor;
    this.#decode = decode;
    this.#looking = new Looking(feed, cursor, again, () => this.end());
    this.#version = log.version;
    if (log.making !== undefined) return;
    log.making = this;
    this.#changes = roomFor(cursor);
  }

  /** It is delivered, or nobody waits for it any more. */
  end(): void {
    this.#changes = undefined;
    if (this.#feed.log.making === this) this.#feed.log.making = undefined;
  }

  /** The batch, as {@link batchOf}; `UNKNOWN` until it is made. */
  take(): Batch<T> | typeof NOTHING | typeof UNKNOWN {
    if (!this.#looking.goOn(this.#show)) return UNKNOWN;
    const changes = this.#upToDate();
    this.end();
    return changes === undefined
      ? batchOf(this.#feed, this.#cursor, this.#decode)
      : taken(this.#feed, this.#cursor, changes, this.#count);
  }

  readonly #show = (entry: LogEntry): void => {
    const changes = this.#upToDate();
    if (changes !== undefined) changes[this.#count++] = changeOf(entry, this.#decode);
    else if (entry.live) decoded(entry, this.#decode);
  };

  #upToDate(): Change<T>[] | undefined {
    if (this.#version !== this.#feed.log.version) this.#changes = undefined;
    return this.#changes;
  }
}

const batchOptions: Known = { signal: "AbortSignal", backlogOnly: "boolean" };

class BatchWatcher<T> extends UpdateWatcher<T> implements RangeWatcher<T> {
  /** Whether the pending get, or the one that is about to be, is for a batch. */
  #wantsBatch = false;

  getBatch(options?: GetBatchOptions): Promise<Batch<T>> {
    checkOptions(options, batchOptions, "getBatch()");
    return this.#askBatch(false, options) as Promise<Batch<T>>;
  }

  batches(): AsyncIterable<Batch<T>> {
    const iterator = {
      next: () => this.#askBatch(true) as Promise<IteratorResult<Batch<T>, undefined>>,
      return: () => this.return(),
    };
    return { [Symbol.asyncIterator]: () => iterator };
  }

  #askBatch(iterating: boolean, options?: AskOptions): Promise<unknown> {
    if (!this.pending) {
      this.#wantsBatch = true;
      this.beginBatch();
    }
    return super.ask(iterating, options);
  }

  protected override ask(iterating: boolean, options?: AskOptions): Promise<unknown> {
    if (!this.pending) this.#wantsBatch = false;
    return super.ask(iterating, options);
  }

  protected override take(): unknown {
    return this.#wantsBatch ? this.takeBatch(this.decode) : super.take();
  }
}

/** Gives batches and nothing else. */
class WholeWatcher<T> extends LogWatcher<Batch<T>> {
  readonly #decode: Decode<T>;
  readonly #closed: (watcher: Watcher<Batch<T>>) => void;

  constructor(feed: Feed, decode: Decode<T>, onClose: (watcher: Watcher<Batch<T>>) => void) {
    super(feed);
    this.#decode = decode;
    this.#closed = onClose;
  }

  protected override ask(iterating: boolean, options?: AskOptions): Promise<unknown> {
    if (!this.pending) this.beginBatch();
    return super.ask(iterating, options);
  }

  protected override take(): unknown {
    return this.takeBatch(this.#decode);
  }

  protected override detach(): void {
    super.detach();
    this.#closed(this);
  }
}

/** Gives its cursor, once the log is fresh and decoded. */
class ReadyWatcher<T> extends LogWatcher<Cursor> {
  readonly #decode: Decode<T>;
  /** There since the log was fresh. */
  #looking: Looking | undefined;

  constructor(feed: Feed, decode: Decode<T>) {
    super(feed);
    this.#decode = decode;
  }

  protected override take(): unknown {
    this.#looking ??= new Looking(this.feed, this.cursor, () => this.retry());
    const decode = (entry: LogEntry): void => {
      if (entry.live) decoded(entry, this.#decode);
    };
    return this.#looking.goOn(decode) ? this.cursor : UNKNOWN;
  }
}

/** Tells when the feed is as fresh as a read that began with its first get, and takes nothing. */
class FreshWatcher extends LogWatcher<true> {
  protected override take(): unknown {
    return true;
  }
}

/** Tells when the log has come to a revision, or to another history, and takes nothing. */
class RevisionWatcher extends LogWatcher<true> {
  readonly #revision: number;
  readonly #rewinds: number;

  constructor(feed: Feed, revision: number) {
    super(feed, false);
    this.#revision = revision;
    this.#rewinds = feed.log.rewinds;
  }

  protected override take(): unknown {
    const { revision, rewinds } = this.feed.log;
    return revision >= this.#revision || rewinds !== this.#rewinds ? true : NOTHING;
  }
}
