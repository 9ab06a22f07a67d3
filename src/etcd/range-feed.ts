/**
 * Keeps the log of one range up to date with etcd: list, then watch, then resume for ever.
 *
 * A feed begins with its first watcher and ends with its last one. Its state is the log and nothing else: at any
 * moment the log holds the whole state at `log.revision`, and the next thing to do follows from that.
 *
 *     list ---------> follow ---------> probe ---------> follow …
 *       ^   merge       |  stream lost    |
 *       |               | compacted       | compacted, far behind, or another history
 *       +---------------+-----------------+
 *
 * - *list* reads the range and merges it: what differs is delivered, and nothing else.
 * - *follow* watches from the log's revision on. The watch starts *at* that revision, and what is not newer is
 *   dropped: a watch that starts exactly at the compaction revision loses a delete there (3.4.23).
 * - *probe* asks, before resuming, whether the log's revision can still be resumed from: 3.4.23 may swallow the
 *   answer that it was compacted, and leave the watch alive with a gap. And it tells how far the store has come: who
 *   is far behind lists, see {@link isFar}.
 *
 * Freshness. A watcher that joins must be as fresh as a read that begins after it. The read lists no values: if the
 * range holds nothing newer than the log's revision and as many keys as the log, then the log holds the state at
 * the read's revision. Otherwise the watch will bring the rest, and the log is fresh when it has passed it.
 *
 * Errors. Lost connections and everything else that may pass are retried for as long as a watcher is open. What the
 * store refuses for good rejects the gets that wait; the feed then rests until one asks again.
 */
import { setImmediate as macrotask } from "node:timers/promises";
import { EventValueError } from "../errors.ts";
import { Backoff } from "../internal/backoff.ts";
import { WaitList } from "../internal/pull-watcher.ts";
import { ConflatingLog, type Merge } from "../range/conflating-log.ts";
import type { Feed } from "../range/feed.ts";
import { failAll } from "../range/watchers.ts";
import type { Access, Client } from "./client.ts";
import { classify, toEventValueError } from "./errors.ts";
import type { Health } from "./health.ts";
import { contradicts, departs, History, type Moment } from "./history.ts";
import { list, type StoreRange, type TakePage } from "./list.ts";
import type { KeyNames } from "./namespace.ts";
import type { ResponseHeader } from "./proto/generated/etcd.ts";
import type { WatchEvent } from "./proto/hot-decoders.ts";
import { range as rangeMethod } from "./proto/methods.ts";
import { TransportError } from "./transport.ts";
import type { WatchHandlers, WatchStream } from "./watch-stream.ts";

/** What the feeds of a keyspace share. */
export interface FeedContext {
  readonly client: Client;
  readonly stream: WatchStream;
  readonly names: KeyNames;
  readonly health: Health;
}

/** What a feed does next: `rest` after an error that will not pass by itself, `pause` after one that may. */
type Next = "list" | "probe" | "follow" | "pause" | "rest";

/**
 * Whether so many revisions are too many to be watched by who holds so many keys. A listing brings each key once, a watch
 * everything that became of it. The server sends a watch that is behind 1,000 revisions and then pauses for 100 ms
 * (`watchBatchMaxRevs` and `syncWatchersLoop` of its mvcc package), so 1,000,000 changes of 1,000 keys in 125,000
 * revisions took 55 s, and a listing 0.9 s with finding back (bench/etcd/catch-up.ts). Up to 10,000, some seconds, a watch
 * tells exactly what happened, such as when a key was deleted; a listing, only what is there.
 */
function isFar(revisions: number, keys: number): boolean {
  return revisions > Math.max(10_000, keys);
}

export class RangeFeed implements Feed, WatchHandlers {
  readonly log: ConflatingLog = new ConflatingLog();
  readonly waiting: WaitList = new WaitList();
  ended = false;
  freshTo = 0;
  readers = 0;
  /** For a demand the server looks at all of the range: 70 ms where it has 100,000 keys. Events come within one. */
  readonly patienceMs: number = 10;

  readonly #context: FeedContext;
  readonly #range: StoreRange;
  readonly #history = new History();
  /** There since the first failure. */
  #backoff: Backoff | undefined;
  readonly #onEmpty: () => void;
  #watchers = 0;
  /** The number of the newest read that has begun. */
  #begun = 0;
  /** The newest read that somebody needs. */
  #wanted = 0;
  #loaded = false;
  #checking = false;
  #stopped = false;
  /** Breaks off what is under way; there while something is, as it takes more memory than all the rest of a feed. */
  #stop: AbortController | undefined;
  /** How much is under way. */
  #underWay = 0;
  /** There while it watches. */
  #watch: { cancel(): void } | undefined;
  /** Resumes a feed that rests after an error. */
  #resume: (() => void) | undefined;
  /** Called at each change of `log.revision`, and when a watch begins; there while somebody waits for that. */
  #onMove: Set<() => void> | undefined;

  constructor(context: FeedContext, range: StoreRange, onEmpty: () => void) {
    this.#context = context;
    this.#range = range;
    this.#onEmpty = onEmpty;
    // Whoever opens the feed may ask for something in the same turn: let the first read begin after that.
    queueMicrotask(() => void this.#run("list"));
  }

  /** One more watcher; each is {@link released} once. */
  entered(): this {
    this.#watchers++;
    return this;
  }

  released(): void {
    if (--this.#watchers > 0) return;
    this.#halt();
    this.#context.health.following(this, undefined);
    this.#onEmpty();
  }

  /** The keyspace is closed: so are all watchers. */
  end(): void {
    this.ended = true;
    this.#halt();
    this.waiting.wake();
  }

  #halt(): void {
    this.#stopped = true;
    this.#stop?.abort();
    this.#leaveWatch();
  }

  /** Does what is broken off when the feed ends. */
  async #breakable<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.#underWay++;
    this.#stop ??= new AbortController();
    if (this.#stopped) this.#stop.abort();
    try {
      return await work(this.#stop.signal);
    } finally {
      if (--this.#underWay === 0) this.#stop = undefined;
    }
  }

  demand(): number {
    this.#wanted = this.#begun + 1;
    if (this.#loaded) this.#check();
    return this.#wanted;
  }

  asked(): void {
    this.#resume?.();
  }

  /**
   * Goes on from `next` until there is a watch, whose end makes it go on. Nothing is suspended meanwhile: that alone
   * took 450 bytes a feed, and there may be ten thousand.
   */
  async #run(next: Next, failure?: unknown): Promise<void> {
    let rewound = false;
    while (!this.#stopped) {
      try {
        if (next === "list") {
          await this.#breakable((signal) => this.#list(rewound, signal));
          next = "follow";
        } else if (next === "probe") {
          const found = await this.#breakable((signal) => this.#probe(signal));
          rewound = found === "rewound";
          next = found === "resumable" ? "follow" : "list";
        } else if (next === "follow") return this.#follow();
        else {
          if (next === "rest") await this.#rest(failure);
          // Any time may have passed, and the token may have expired.
          next = "probe";
          await this.#pause();
        }
      } catch (error) {
        if (this.#stopped) return;
        await this.#rest(error);
        await this.#pause().catch(() => {});
      }
    }
  }

  #pause(): Promise<void> {
    const backoff = (this.#backoff ??= new Backoff());
    return this.#breakable((signal) => backoff.wait(signal));
  }

  /**
   * After what will not pass by itself: tells those who wait, and goes on when somebody asks again. Who reads the log at
   * any time does not ask, so it is tried again for them, and the status tells.
   */
  async #rest(error: unknown): Promise<void> {
    const { health } = this.#context;
    const told = error instanceof TransportError ? toEventValueError(error, { write: false }) : error;
    failAll(this.waiting, told);
    if (this.readers > 0) {
      health.failed(told);
      health.following(this, false);
    } else {
      const asked = new Promise<void>((resolve) => {
        this.#resume = resolve;
      });
      health.following(this, undefined);
      await asked;
      this.#resume = undefined;
    }
  }

  async #list(rewound: boolean, signal: AbortSignal): Promise<void> {
    const { health } = this.#context;
    const read = ++this.#begun;
    const since = this.#history.now;
    let merge!: Merge;
    const begin = (first: ResponseHeader): TakePage => {
      merge = this.log.beginMerge({ rewound: rewound || contradicts(first, since) });
      return (keys) => merge.add(keys);
    };
    let header = await list(this.#context, this.#range, signal, begin);
    if (!rewound && contradicts(header, since)) {
      // An old server may say so once, after a long pause; a store that was restored says so again.
      header = await list(this.#context, this.#range, signal, begin);
      rewound = contradicts(header, since);
    }
    if (rewound) this.#history.restart(header);
    else this.#history.note(header);
    // The log may have got ahead of a listing that took long: at revision 12 a read found the range as the log has it,
    // while the listing is of 11. Merging that would bring back a key that was written at 11 and deleted at 12.
    if (rewound || header.revision >= this.log.revision) await this.#commit(merge, header.revision, signal);
    health.saw(this.log.revision);
    this.#loaded = true;
    this.#moved();
    this.#fresh(read);
    this.#check();
  }

  /**
   * Merges, and lets others have the event loop after each step: a million changes take seconds. Where somebody reads the
   * log at any time it has to be whole whenever they might, so they wait instead.
   */
  async #commit(merge: Merge, revision: number, signal: AbortSignal): Promise<void> {
    const steps = merge.commit(revision);
    while (steps.next().done !== true) {
      if (this.readers > 0) continue;
      await macrotask();
      signal.throwIfAborted();
    }
  }

  /**
   * Whether the log's revision can be resumed from. Reads one key, which lies in the range: the user may be permitted
   * nothing else.
   */
  async #probe(signal: AbortSignal): Promise<"resumable" | "far" | "compacted" | "rewound"> {
    const { client } = this.#context;
    const since = this.#history.now;
    const request = { key: this.#range.key, revision: this.log.revision, keysOnly: true };
    for (let suspicions = 0; ;) {
      try {
        const { header } = await client.read(rangeMethod, request, { signal });
        if (!contradicts(header, since)) {
          this.#history.note(header);
          if (!isFar(header.revision - this.log.revision, this.log.size)) return "resumable";
          return (await this.#isUnchanged(since, signal)) ? "resumable" : "far";
        }
      } catch (error) {
        const kind = error instanceof TransportError ? classify(error).kind : undefined;
        // In another history, perhaps: listing finds out.
        if (kind === "compacted") return "compacted";
        if (kind !== "future-revision") throw error;
      }
      // An old server may say so once, after a long pause; a store that was restored says so again.
      if (++suspicions === 2) return "rewound";
    }
  }

  /** Whether a read of the range finds it as the log has it; then that is of the read's revision. */
  async #isUnchanged(since: Moment, signal: AbortSignal): Promise<boolean> {
    const { log } = this;
    const request = { ...this.#range, minModRevision: log.revision + 1, limit: 1, keysOnly: true };
    const { header, kvs, count } = await this.#context.client.attempt(rangeMethod, request, { signal });
    if (kvs.length > 0 || count !== log.size || contradicts(header, since)) return false;
    this.#history.note(header);
    if (header.revision > log.revision) this.#settle(header.revision);
    return true;
  }

  /** Watches; {@link RangeFeed.#endWatch} is where that ends. */
  #follow(): void {
    const { key, rangeEnd } = this.#range;
    this.#watch = this.#context.stream.watch({ key, rangeEnd, startRevision: this.log.revision }, this);
  }

  /** Leaves the watch, if there is one, and goes on from `next`. */
  #endWatch(next: Next, failure?: unknown): void {
    if (this.#leaveWatch()) void this.#run(next, failure);
  }

  #leaveWatch(): boolean {
    if (this.#watch === undefined) return false;
    this.#watch.cancel();
    this.#watch = undefined;
    this.#context.health.following(this, false);
    return true;
  }

  /** What the watch tells: see {@link WatchHandlers}. */
  created(header: ResponseHeader): void {
    // The address leads to another cluster by now; or the member lags, and does not know of an election yet.
    if (departs(header, this.#history.now)) return this.#endWatch("pause");
    this.#backoff?.reset();
    this.#context.health.following(this, true);
    this.#moved();
  }

  events(events: readonly WatchEvent[]): void {
    this.#apply(events);
  }

  progress(revision: number): void {
    if (revision > this.log.revision) this.#settle(revision);
  }

  compacted(): void {
    this.#endWatch("list");
  }

  lost(error: unknown): void {
    if (error instanceof TransportError || this.#stopped) this.#endWatch("pause");
    else this.#endWatch("rest", error);
  }

  refused(reason: TransportError, access: Access): void {
    const { kind } = classify(reason);
    if (kind === "compacted") this.#endWatch("list");
    else if (kind === "transient") this.#endWatch("pause");
    else if ((kind === "auth" || kind === "denied") && this.#context.client.authenticates) {
      this.#leaveWatch();
      void this.#doubtToken(reason, access);
    } else this.#endWatch("rest", reason);
  }

  /**
   * A watch was refused, perhaps for its token: one that has expired, or that a change of roles has outdated, can look
   * like a missing permission. A read tells, since it renews its token by itself: it is refused where the user may not
   * see the range. Tokens are bound to the stream.
   */
  async #doubtToken(reason: TransportError, access: Access): Promise<void> {
    const { client, stream } = this.#context;
    const request = { ...this.#range, minModRevision: this.log.revision + 1, limit: 1, keysOnly: true };
    try {
      await this.#breakable((signal) => client.attempt(rangeMethod, request, { signal }));
    } catch (error) {
      return this.#run("rest", error);
    }
    client.expire(access);
    stream.abandon(access, reason);
    return this.#run("pause");
  }

  #apply(events: readonly WatchEvent[]): void {
    const { log } = this;
    const { names } = this.#context;
    const known = log.revision;
    let newest = known;
    for (const event of events) {
      const { modRevision } = event;
      if (modRevision <= known) continue;
      const key = names.toUser(event.key, event.rawKey);
      if (event.type === "put") log.put(key, event.value, modRevision, event.createRevision);
      else log.delete(key, modRevision);
      newest = modRevision;
    }
    if (newest === known) return;
    this.#settle(newest);
    this.waiting.wake();
  }

  #settle(revision: number): void {
    this.log.settle(revision);
    this.#context.health.saw(revision);
    this.#history.reached(revision);
    this.#moved();
  }

  #moved(): void {
    for (const call of this.#onMove ?? []) call();
  }

  #fresh(read: number): void {
    if (read > this.freshTo) this.freshTo = read;
    this.waiting.wake();
  }

  /** Makes the reads that are wanted, one at a time. */
  #check(): void {
    if (this.#checking || this.#wanted <= this.freshTo) return;
    this.#checking = true;
    void this.#makeReads();
  }

  async #makeReads(): Promise<void> {
    try {
      while (this.#wanted > this.freshTo && !this.#stopped) {
        // Who asks in the same turn shares this read.
        await Promise.resolve();
        const read = ++this.#begun;
        await this.#breakable((signal) => this.#catchUp(read, signal));
        this.#fresh(read);
      }
    } catch (error) {
      if (!this.#stopped) {
        this.#wanted = this.freshTo;
        failAll(this.waiting, error instanceof TransportError ? toEventValueError(error, { write: false }) : error);
      }
    }
    this.#checking = false;
    // Somebody may have asked since the loop was left.
    if (!this.#stopped) this.#check();
  }

  /** Reads, and resolves when the log holds what the read saw, or a later list does. */
  async #catchUp(read: number, signal: AbortSignal): Promise<void> {
    const { log } = this;
    const { client } = this.#context;
    let { era } = this.#history.now;
    let target = Infinity;
    while (this.freshTo < read) {
      // In the midst of a merge the log is at no revision, and perhaps between two histories.
      if (log.merging) {
        await this.#nextMove(signal);
        continue;
      }
      const since = this.#history.now;
      if (since.era !== era) target = Infinity;
      era = since.era;
      const known = log.revision;
      if (known >= target) return;
      const size = log.size;
      const request = { ...this.#range, minModRevision: known + 1, limit: 1, keysOnly: true };
      const { header, kvs, count } = await client.attempt(rangeMethod, request, { signal });
      // What was answered before the store was rewound says nothing any more.
      if (this.#history.now.era !== era) continue;
      if (contradicts(header, since)) this.#endWatch("pause");
      else {
        this.#history.note(header);
        target = Math.min(target, header.revision);
        const same = kvs.length === 0 && count === size && log.revision === known && !log.merging;
        if (same && header.revision > known) this.#settle(header.revision);
      }
      // The watch brings it, or the next one, or a list.
      if (log.revision === known && known < target) await this.#nextMove(signal);
    }
  }

  #nextMove(signal: AbortSignal): Promise<void> {
    const calls = (this.#onMove ??= new Set());
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        calls.delete(moved);
        if (calls.size === 0) this.#onMove = undefined;
        signal.removeEventListener("abort", abort);
      };
      const moved = (): void => {
        leave();
        resolve();
      };
      const abort = (): void => {
        leave();
        reject(new EventValueError("EV_CLOSED", "the feed is closed"));
      };
      calls.add(moved);
      signal.addEventListener("abort", abort);
    });
  }
}
