/**
 * Keeps the log of one range up to date with etcd: list, then watch, then resume for ever.
 *
 * A feed begins with its first watcher and ends with its last one. Its state is the log and nothing else: at any
 * moment the log holds the whole state at `log.revision`, and the next thing to do follows from that.
 *
 *     list ---------> follow ---------> probe ---------> follow …
 *       ^   merge       |  stream lost    |
 *       |               | compacted       | compacted, or another history
 *       +---------------+-----------------+
 *
 * - *list* reads the range and merges it: what differs is delivered, and nothing else.
 * - *follow* watches from the log's revision on. The watch starts *at* that revision, and what is not newer is
 *   dropped: a watch that starts exactly at the compaction revision loses a delete there (3.4.23).
 * - *probe* asks, before resuming, whether the log's revision can still be resumed from: 3.4.23 may swallow the
 *   answer that it was compacted, and leave the watch alive with a gap.
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
import { contradicts, departs, History } from "./history.ts";
import { list, packedKeys, type StoreRange, type TakePage } from "./list.ts";
import type { KeyNames } from "./namespace.ts";
import type { ResponseHeader } from "./proto/generated/etcd.ts";
import type { WatchEvent } from "./proto/hot-decoders.ts";
import { range as rangeMethod } from "./proto/methods.ts";
import { TransportError } from "./transport.ts";
import type { WatchStream } from "./watch-stream.ts";

/** What the feeds of a keyspace share. */
export interface FeedContext {
  readonly client: Client;
  readonly stream: WatchStream;
  readonly names: KeyNames;
  readonly health: Health;
}

/** How a watch ended. */
type Ending = "lost" | "compacted";

export class RangeFeed implements Feed {
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
  readonly #stop = new AbortController();
  readonly #onEmpty: () => void;
  #watchers = 0;
  /** The number of the newest read that has begun. */
  #begun = 0;
  /** The newest read that somebody needs. */
  #wanted = 0;
  #loaded = false;
  #checking = false;
  /** Ends the watch, while there is one. */
  #endWatch: ((ending: Ending) => void) | undefined;
  /** Resumes a feed that rests after an error. */
  #resume: (() => void) | undefined;
  /** Called at each change of `log.revision`, and when a watch begins. */
  readonly #onMove = new Set<() => void>();

  constructor(context: FeedContext, range: StoreRange, onEmpty: () => void) {
    this.#context = context;
    this.#range = range;
    this.#onEmpty = onEmpty;
    void this.#run();
  }

  /** One more watcher; each is {@link released} once. */
  entered(): this {
    this.#watchers++;
    return this;
  }

  released(): void {
    if (--this.#watchers > 0) return;
    this.#stop.abort();
    this.#context.health.following(this, undefined);
    this.#onEmpty();
  }

  /** The keyspace is closed: so are all watchers. */
  end(): void {
    this.ended = true;
    this.#stop.abort();
    this.waiting.wake();
  }

  demand(): number {
    this.#wanted = this.#begun + 1;
    if (this.#loaded) this.#check();
    return this.#wanted;
  }

  asked(): void {
    this.#resume?.();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    const backoff = new Backoff();
    let next: "list" | "probe" | "follow" = "list";
    let rewound = false;
    // Whoever opened the feed may ask for something in the same turn: let the first read begin after that.
    await Promise.resolve();
    while (!signal.aborted) {
      try {
        if (next === "list") {
          await this.#list(rewound);
          next = "follow";
        } else if (next === "probe") {
          const found = await this.#probe();
          rewound = found === "rewound";
          next = found === "resumable" ? "follow" : "list";
        } else {
          const ending = await this.#follow(() => backoff.reset());
          rewound = false;
          next = ending === "lost" ? "probe" : "list";
          if (ending === "lost") await backoff.wait(signal);
        }
      } catch (error) {
        if (signal.aborted) return;
        await this.#rest(error, backoff).catch(() => {});
        // Any time may have passed, and the token may have expired.
        if (next === "follow") next = "probe";
      }
    }
  }

  /**
   * After what will not pass by itself: tells those who wait, and goes on when somebody asks again. Who reads the log at
   * any time does not ask, so it is tried again for them, and the status tells.
   */
  async #rest(error: unknown, backoff: Backoff): Promise<void> {
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
    await backoff.wait(this.#stop.signal);
  }

  async #list(rewound: boolean): Promise<void> {
    const { client, names, health } = this.#context;
    const read = ++this.#begun;
    const since = this.#history.now;
    let merge!: Merge;
    const begin = (first: ResponseHeader): TakePage => {
      merge = this.log.beginMerge({ rewound: rewound || contradicts(first, since) });
      return (records) => merge.add(packedKeys(records, names));
    };
    let header = await list(client, this.#range, this.#stop.signal, begin);
    if (!rewound && contradicts(header, since)) {
      // An old server may say so once, after a long pause; a store that was restored says so again.
      header = await list(client, this.#range, this.#stop.signal, begin);
      rewound = contradicts(header, since);
    }
    if (rewound) this.#history.restart(header);
    else this.#history.note(header);
    // The log may have got ahead of a listing that took long: at revision 12 a read found the range as the log has it,
    // while the listing is of 11. Merging that would bring back a key that was written at 11 and deleted at 12.
    if (rewound || header.revision >= this.log.revision) await this.#commit(merge, header.revision);
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
  async #commit(merge: Merge, revision: number): Promise<void> {
    const steps = merge.commit(revision);
    while (steps.next().done !== true) {
      if (this.readers > 0) continue;
      await macrotask();
      this.#stop.signal.throwIfAborted();
    }
  }

  /**
   * Whether the log's revision can be resumed from. Reads one key, which lies in the range: the user may be permitted
   * nothing else.
   */
  async #probe(): Promise<"resumable" | "compacted" | "rewound"> {
    const { client } = this.#context;
    const since = this.#history.now;
    const request = { key: this.#range.key, revision: this.log.revision, keysOnly: true };
    for (let suspicions = 0; ;) {
      try {
        const { header } = await client.attempt(rangeMethod, request, { signal: this.#stop.signal });
        if (!contradicts(header, since)) {
          this.#history.note(header);
          return "resumable";
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

  /** Watches until the watch ends. */
  #follow(created: () => void): Promise<Ending> {
    const { stream, client } = this.#context;
    const { signal } = this.#stop;
    return new Promise((resolve, reject) => {
      const done = (): void => {
        this.#endWatch = undefined;
        signal.removeEventListener("abort", abort);
        this.#context.health.following(this, false);
      };
      const end = (ending: Ending): void => {
        done();
        resolve(ending);
      };
      const watch = stream.watch(
        { key: this.#range.key, rangeEnd: this.#range.rangeEnd, startRevision: this.log.revision },
        {
          created: (header) => {
            // The address leads to another cluster by now; or the member lags, and does not know of an election yet.
            if (departs(header, this.#history.now)) return this.#endWatch?.("lost");
            created();
            this.#context.health.following(this, true);
            this.#moved();
          },
          events: (events) => this.#apply(events),
          progress: (revision) => {
            if (revision > this.log.revision) this.#settle(revision);
          },
          compacted: () => end("compacted"),
          lost: (error) => {
            if (error instanceof TransportError || signal.aborted) return end("lost");
            done();
            reject(error);
          },
          refused: (reason, access) => {
            const { kind } = classify(reason);
            if (kind === "compacted") return end("compacted");
            if (kind === "transient") return end("lost");
            done();
            if ((kind === "auth" || kind === "denied") && client.authenticates)
              resolve(this.#doubtToken(reason, access));
            else reject(reason);
          },
        },
      );
      const abort = (): void => {
        watch.cancel();
        done();
        resolve("lost");
      };
      this.#endWatch = (ending) => {
        watch.cancel();
        end(ending);
      };
      signal.addEventListener("abort", abort);
    });
  }

  /**
   * A watch was refused, perhaps for its token: one that has expired, or that a change of roles has outdated, can look
   * like a missing permission. A read tells, since it renews its token by itself: it is refused where the user may not
   * see the range. Tokens are bound to the stream.
   */
  async #doubtToken(reason: TransportError, access: Access): Promise<Ending> {
    const { client, stream } = this.#context;
    const request = { ...this.#range, minModRevision: this.log.revision + 1, limit: 1, keysOnly: true };
    await client.attempt(rangeMethod, request, { signal: this.#stop.signal });
    client.expire(access);
    stream.abandon(access, reason);
    return "lost";
  }

  #apply(events: readonly WatchEvent[]): void {
    const { log } = this;
    const { names } = this.#context;
    const known = log.revision;
    let newest = known;
    for (const event of events) {
      const { modRevision } = event;
      if (modRevision <= known) continue;
      const key = names.toUser(event);
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
    for (const call of this.#onMove) call();
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
    const { signal } = this.#stop;
    try {
      while (this.#wanted > this.freshTo && !signal.aborted) {
        // Who asks in the same turn shares this read.
        await Promise.resolve();
        const read = ++this.#begun;
        await this.#catchUp(read);
        this.#fresh(read);
      }
    } catch (error) {
      if (!signal.aborted) {
        this.#wanted = this.freshTo;
        failAll(this.waiting, error instanceof TransportError ? toEventValueError(error, { write: false }) : error);
      }
    }
    this.#checking = false;
    // Somebody may have asked since the loop was left.
    if (!signal.aborted) this.#check();
  }

  /** Reads, and resolves when the log holds what the read saw, or a later list does. */
  async #catchUp(read: number): Promise<void> {
    const { log } = this;
    const { client } = this.#context;
    let { era } = this.#history.now;
    let target = Infinity;
    while (this.freshTo < read) {
      // In the midst of a merge the log is at no revision, and perhaps between two histories.
      if (log.merging) {
        await this.#nextMove();
        continue;
      }
      const since = this.#history.now;
      if (since.era !== era) target = Infinity;
      era = since.era;
      const known = log.revision;
      if (known >= target) return;
      const size = log.size;
      const request = { ...this.#range, minModRevision: known + 1, limit: 1, keysOnly: true };
      const { header, kvs, count } = await client.attempt(rangeMethod, request, { signal: this.#stop.signal });
      // What was answered before the store was rewound says nothing any more.
      if (this.#history.now.era !== era) continue;
      if (contradicts(header, since)) this.#endWatch?.("lost");
      else {
        this.#history.note(header);
        target = Math.min(target, header.revision);
        const same = kvs.length === 0 && count === size && log.revision === known && !log.merging;
        if (same && header.revision > known) this.#settle(header.revision);
      }
      // The watch brings it, or the next one, or a list.
      if (log.revision === known && known < target) await this.#nextMove();
    }
  }

  #nextMove(): Promise<void> {
    const { signal } = this.#stop;
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#onMove.delete(moved);
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
      this.#onMove.add(moved);
      signal.addEventListener("abort", abort);
    });
  }
}
