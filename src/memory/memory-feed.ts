/** What the watchers of one key or range of a `MemoryStore` stand on. */
import { WaitList } from "../internal/pull-watcher.ts";
import type { Extent } from "../keyspace/store.ts";
import { ConflatingLog } from "../range/conflating-log.ts";
import type { Feed } from "../range/feed.ts";
import type { Follower, Made, MemoryStore } from "./memory-store.ts";

export class MemoryFeed implements Feed, Follower {
  readonly log: ConflatingLog = new ConflatingLog();
  readonly waiting: WaitList = new WaitList();
  ended = false;
  freshTo = 0;
  readers = 0;
  readonly #store: MemoryStore;
  readonly #unfollow: () => void;
  readonly #onEmpty: (feed: MemoryFeed) => void;
  #watchers = 0;
  /** Whether a read is about to be made. */
  #reading = false;

  constructor(store: MemoryStore, extent: Extent, onEmpty: (feed: MemoryFeed) => void) {
    this.#store = store;
    this.#onEmpty = onEmpty;
    this.log.merge(store.read(extent), store.revision, { rewound: false });
    this.#unfollow = store.follow(extent, this);
  }

  /** One more watcher; each is {@link released} once. */
  entered(): this {
    this.#watchers++;
    return this;
  }

  released(): void {
    if (--this.#watchers > 0) return;
    this.#unfollow();
    this.#onEmpty(this);
  }

  /** The keyspace is closed: so are all watchers. */
  end(): void {
    this.ended = true;
    this.#unfollow();
    this.waiting.wake();
  }

  demand(): number {
    if (!this.#reading) {
      this.#reading = true;
      queueMicrotask(() => {
        this.#reading = false;
        this.read();
      });
    }
    return this.freshTo + 1;
  }

  asked(): void {
    // It never gives up.
  }

  changed(changes: readonly Made[], revision: number): void {
    const { log } = this;
    // The first state may have been read before all were told of what it holds.
    if (revision <= log.revision) return;
    for (const change of changes) {
      if (change.type === "delete") log.delete(change.key, revision);
      else log.put(change.stored.key, change.stored.bytes, revision, change.stored.createRevision);
    }
    log.settle(revision);
    this.waiting.wake();
  }

  /** The log is as fresh as the store from here on. */
  protected read(): void {
    this.#store.tell();
    this.log.settle(this.#store.revision);
    this.freshTo++;
    this.waiting.wake();
  }
}
