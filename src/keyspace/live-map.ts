/**
 * Live maps: views of the log of a range that can be read at any time.
 *
 * The log holds the data; what a map needs besides is the order of the keys, and which values the decoder rejects. That
 * is an *image* of the log, one for all live maps of a range. It reads the log with a cursor of its own, and only when
 * somebody asks for what it takes: a lookup of a key goes to the log itself. While there is an image merges are made at
 * once, so that the log is at whole revisions whenever anybody can read it.
 */
import type { Decode } from "../codec.ts";
import { errorOf, type EventValueError } from "../errors.ts";
import { abortable, follow } from "../internal/abort.ts";
import { disposable } from "../internal/dispose.ts";
import { checkWatchOptions, closed } from "../internal/pull-watcher.ts";
import { quietly } from "../internal/quiet.ts";
import type { Batch, CallOptions, LiveMap } from "../keyspace.ts";
import type { Cursor, LogEntry } from "../range/conflating-log.ts";
import { decoded } from "../range/decoding.ts";
import type { Feed } from "../range/feed.ts";
import { compareKeys, isRawKey, keyText } from "../range/keys.ts";
import { watchBatches, watchFreshness, watchReady, watchRevision } from "../range/watchers.ts";
import type { Watcher, WatchOptions } from "../watchable.ts";
import { checkCallOptions, checkRevision } from "./arguments.ts";
import type { Source } from "./store.ts";

/** The live maps of one range. */
export class LiveMaps<T> {
  readonly #source: Source;
  readonly #decode: Decode<T>;
  /** There while somebody has a map, or waits for one. */
  #image: Image<T> | undefined;

  constructor(source: Source, decode: Decode<T>) {
    this.#source = source;
    this.#decode = decode;
  }

  async open(signal: AbortSignal | undefined): Promise<LiveMap<T>> {
    signal?.throwIfAborted();
    this.#image ??= new Image(this.#source, this.#decode, (image) => {
      if (this.#image === image) this.#image = undefined;
    });
    const image = this.#image;
    image.enter();
    try {
      // Together, so that they share a read.
      const loaded = image.loaded();
      await fresh(image.openFeed(), signal);
      await abortable(loaded, signal);
    } catch (error) {
      image.leave();
      throw error;
    }
    return new StoredLiveMap(image);
  }
}

/** Resolves when the feed is as fresh as a read that begins now, and lets go of it. */
async function fresh(feed: Feed, signal: AbortSignal | undefined): Promise<void> {
  const watcher = watchFreshness(feed);
  try {
    await watcher.get({ signal });
  } finally {
    watcher.close();
  }
}

/** Resolves when the log has come to `revision`, or the time is over, and lets go of the feed. */
async function comeTo(feed: Feed, revision: number, withinMs: number, signal: AbortSignal): Promise<void> {
  const over = new AbortController();
  const following = follow(over, signal);
  const timer = setTimeout(() => over.abort(), withinMs);
  const watcher = watchRevision(feed, revision);
  try {
    await watcher.get({ signal: over.signal });
  } catch (error) {
    if (signal.aborted || error !== over.signal.reason) throw error;
  } finally {
    clearTimeout(timer);
    following.unlink();
    watcher.close();
  }
}

/** What all live maps of a range share: see above. */
class Image<T> {
  readonly feed: Feed;
  readonly decode: Decode<T>;
  readonly #source: Source;
  readonly #onEmpty: (image: Image<T>) => void;
  readonly #watcher: Watcher<Cursor>;
  #users = 0;
  #loading: Promise<void> | undefined;
  #cursor: Cursor | undefined;
  /** Whether it counts as a reader of the log. */
  #reading = false;
  /** The live keys, in order, as of the cursor. Replaced, never changed: who goes through them may go on. */
  #keys: readonly string[] = [];
  /** What the decoder rejects, by the log's keys: of those that are not UTF-8, several may read alike. */
  readonly #rejected = new Map<string, EventValueError>();
  /** The same by keys as people may read them. Replaced, never changed. */
  #invalid: ReadonlyMap<string, EventValueError> = new Map();

  constructor(source: Source, decode: Decode<T>, onEmpty: (image: Image<T>) => void) {
    this.#source = source;
    this.decode = decode;
    this.#onEmpty = onEmpty;
    this.feed = source.enter();
    this.#watcher = watchReady(this.feed, decode);
  }

  enter(): void {
    this.#users++;
  }

  leave(): void {
    if (--this.#users > 0) return;
    if (this.#reading) this.feed.readers--;
    this.#watcher.close();
    this.#onEmpty(this);
  }

  /** The feed, for one more watcher. @throws `EV_CLOSED` */
  openFeed(): Feed {
    return this.#source.enter();
  }

  /** Resolves when the maps can be read. Each call tries again after an error. */
  loaded(): Promise<void> {
    this.#loading ??= quietly(
      this.#load().catch((error: unknown) => {
        this.#loading = undefined;
        throw error;
      }),
    );
    return this.#loading;
  }

  async #load(): Promise<void> {
    const cursor = await this.#watcher.get();
    // All who waited for it may have left since.
    if (this.#users === 0) throw closed();
    // Decoded by now, so what follows takes little time; but a merge may have begun since.
    if (!this.#reading) this.feed.readers++;
    this.#reading = true;
    while (this.feed.log.merging) await fresh(this.openFeed(), undefined);
    this.#cursor = cursor;
  }

  entry(key: string): LogEntry | undefined {
    return isRawKey(key) ? undefined : this.feed.log.get(key);
  }

  get keys(): readonly string[] {
    this.#sync();
    return this.#keys;
  }

  get invalid(): ReadonlyMap<string, EventValueError> {
    this.#sync();
    return this.#invalid;
  }

  get size(): number {
    this.#sync();
    return this.feed.log.size - this.#rejected.size;
  }

  /** Takes in what has changed since it last did. */
  #sync(): void {
    const changes = (this.#cursor as Cursor).batch();
    if (changes.length === 0) return;
    let judged = false;
    for (const entry of changes) {
      const result = entry.live ? decoded(entry, this.decode) : undefined;
      if (result !== undefined && "error" in result) {
        this.#rejected.set(entry.key, result.error);
        judged = true;
      } else if (this.#rejected.delete(entry.key)) judged = true;
    }
    if (judged) this.#invalid = new Map([...this.#rejected].map(([key, error]) => [keyText(key), error]));
    this.#keys = mergeKeys(this.#keys, changes);
  }
}

/** The sorted keys with those of `changes` that are live, and without the others. The same array where that is the same. */
function mergeKeys(keys: readonly string[], changes: readonly LogEntry[]): readonly string[] {
  const moved: { readonly key: string; readonly at: number; readonly live: boolean }[] = [];
  for (const { key, live } of changes) {
    if (isRawKey(key)) continue;
    const at = positionOf(keys, key);
    if ((keys[at] === key) !== live) moved.push({ key, at, live });
  }
  if (moved.length === 0) return keys;
  moved.sort((a, b) => a.at - b.at || compareKeys(a.key, b.key));
  const merged: string[] = [];
  let next = 0;
  for (const { key, at, live } of moved) {
    while (next < at) merged.push(keys[next++] as string);
    if (live) merged.push(key);
    else next++;
  }
  while (next < keys.length) merged.push(keys[next++] as string);
  return merged;
}

/** The index of the key, or where it would be. */
function positionOf(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareKeys(keys[middle] as string, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

class StoredLiveMap<T> implements LiveMap<T> {
  declare [Symbol.dispose]: () => void;
  readonly [Symbol.toStringTag]: string = "LiveMap";
  #image: Image<T> | undefined;
  readonly #watchers = new Set<Watcher<Batch<T>>>();
  /** Ends what waits for a revision. */
  readonly #closing = new AbortController();

  static {
    disposable(StoredLiveMap.prototype);
  }

  /** The image counts this map as a user already. */
  constructor(image: Image<T>) {
    this.#image = image;
  }

  get #open(): Image<T> {
    if (this.#image === undefined) throw closed();
    return this.#image;
  }

  get revision(): number {
    return this.#open.feed.log.revision;
  }

  get size(): number {
    return this.#open.size;
  }

  get invalid(): ReadonlyMap<string, EventValueError> {
    return this.#open.invalid;
  }

  has(key: string): boolean {
    const image = this.#open;
    const entry = image.entry(key);
    return entry !== undefined && "value" in decoded(entry, image.decode);
  }

  get(key: string): T | undefined {
    const image = this.#open;
    const entry = image.entry(key);
    if (entry === undefined) return undefined;
    const result = decoded(entry, image.decode);
    return "value" in result ? result.value : undefined;
  }

  *entries(): MapIterator<[string, T]> {
    const image = this.#open;
    for (const key of image.keys) {
      const entry = image.entry(key);
      if (entry === undefined) continue;
      const result = decoded(entry, image.decode);
      if ("value" in result) yield [key, result.value];
    }
    return undefined;
  }

  *keys(): MapIterator<string> {
    for (const [key] of this.entries()) yield key;
    return undefined;
  }

  *values(): MapIterator<T> {
    for (const [, value] of this.entries()) yield value;
    return undefined;
  }

  [Symbol.iterator](): MapIterator<[string, T]> {
    return this.entries();
  }

  forEach(call: (value: T, key: string, map: ReadonlyMap<string, T>) => void, thisArg?: unknown): void {
    for (const [key, value] of this.entries()) call.call(thisArg, value, key, this);
  }

  snapshot(): ReadonlyMap<string, T> {
    return new Map(this.entries());
  }

  atLeast(revision: number, options?: CallOptions): Promise<this> {
    checkRevision(revision, "atLeast(): revision");
    checkCallOptions(options, "atLeast()");
    return quietly(this.#reach(revision, options?.signal));
  }

  async #reach(revision: number, signal: AbortSignal | undefined): Promise<this> {
    signal?.throwIfAborted();
    const { log, patienceMs } = this.#open.feed;
    if (log.revision >= revision) return this;
    const { rewinds } = log;
    /** Whether it is there. @throws where it will not be */
    const isReached = (): boolean => {
      // What came of a revision of the history before is not known, even where this one has such a revision.
      if (log.rewinds !== rewinds) throw unreachable(revision, log.revision);
      return log.revision >= revision;
    };
    const over = new AbortController();
    const following = [signal, this.#closing.signal].map((ends) => follow(over, ends));
    try {
      for (let waitMs = patienceMs; ; waitMs = Math.min(2 * waitMs + 20, 1000)) {
        if (waitMs > 0) await comeTo(this.#open.openFeed(), revision, waitMs, over.signal);
        if (isReached()) return this;
        await fresh(this.#open.openFeed(), over.signal);
        if (isReached()) return this;
        // What was written before the call is there, unless it was written before the store was restored.
        if (rewinds > 0) throw unreachable(revision, log.revision);
        // A revision that is to come: nobody can know it, but who guesses is told when it has.
      }
    } finally {
      for (const entry of following) entry.unlink();
    }
  }

  watch(options?: WatchOptions): Watcher<Batch<T>> {
    checkWatchOptions(options);
    const image = this.#open;
    const watcher = watchBatches(image.openFeed(), image.decode, options, (closed) => this.#watchers.delete(closed));
    // By a signal that is aborted already it is closed.
    if (options?.signal?.aborted !== true) this.#watchers.add(watcher);
    return watcher;
  }

  close(): void {
    const image = this.#image;
    if (image === undefined) return;
    this.#image = undefined;
    this.#closing.abort(closed());
    for (const watcher of this.#watchers) watcher.close();
    image.leave();
  }
}

function unreachable(revision: number, current: number): EventValueError {
  const message = `revision ${revision} is not to be had: the store was restored and is at ${current}`;
  return errorOf("EV_UNAVAILABLE", message, { maybeApplied: false });
}
