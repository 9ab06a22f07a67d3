/** What the watchers of one key or range of a `MemoryStore` stand on. */
import { WaitList } from "../internal/pull-watcher.ts";
import type { Extent } from "../keyspace/store.ts";
import { ConflatingLog } from "../range/conflating-log.ts";
import type { Feed } from "../range/feed.ts";
import type { Follower, Made, MemoryStore } from "./memory-store.ts";
import type { Namespace } from "./namespace.ts";

export class MemoryFeed implements Feed, Follower {
  readonly log: ConflatingLog = new ConflatingLog();
  readonly waiting: WaitList = new WaitList();
  ended = false;
  freshTo = 0;
  readers = 0;
  readonly patienceMs: number = 0;
  readonly #store: MemoryStore;
  readonly #names: Namespace;
  readonly #unfollow: () => void;
  readonly #onEmpty: (feed: MemoryFeed) => void;
  #watchers = 0;
  /** Whether a read is about to be made. */
  #reading = false;

  /** `extent` is the user's, within the namespace. */
  constructor(store: MemoryStore, names: Namespace, extent: Extent, onEmpty: (feed: MemoryFeed) => void) {
    this.#store = store;
    this.#names = names;
    this.#onEmpty = onEmpty;
    const stored = names.extent(extent);
    const keys = store.read(stored).map((key) => names.stored(key));
    this.log.merge(keys, store.revision, { rewound: false });
    this.#unfollow = store.follow(stored, this);
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
    this.apply(changes, revision);
    this.waiting.wake();
  }

  protected apply(changes: readonly Made[], revision: number): void {
    const { log } = this;
    const names = this.#names;
    // The first state may have been read before all were told of what it holds.
    if (revision <= log.revision) return;
    for (const change of changes) {
      if (change.type === "delete") log.delete(names.key(change.key), revision);
      else log.put(names.key(change.stored.key), change.stored.bytes, revision, change.stored.createRevision);
    }
    log.settle(revision);
  }

  /** The log is as fresh as the store from here on. */
  protected read(): void {
    this.#store.tell();
    this.log.settle(this.#store.revision);
    this.freshTo++;
    this.waiting.wake();
  }
}
