/** A keyspace's side of a `MemoryStore`: its feeds, its leases, its status. */
import { keyspaceClosed } from "../errors.ts";
import { macrotask } from "../internal/macrotask.ts";
import { admit } from "../internal/pace.ts";
import type { Lease, Status } from "../keyspace.ts";
import type { Commit, Extent, Outcome, Source, Store } from "../keyspace/store.ts";
import type { StoredKey } from "../range/conflating-log.ts";
import { MemoryFeed } from "./memory-feed.ts";
import { MemoryLease } from "./memory-lease.ts";
import type { MemoryStore } from "./memory-store.ts";
import { MemoryValue } from "./memory-value.ts";
import type { Namespace } from "./namespace.ts";

export class MemoryConnection implements Store {
  readonly store: MemoryStore;
  protected readonly names: Namespace;
  readonly status: MemoryValue<Status, never>;
  protected readonly feeds: Set<MemoryFeed> = new Set();
  protected readonly leases: Set<MemoryLease> = new Set();
  readonly #closing = new AbortController();
  readonly #unfollow: () => void;

  constructor(store: MemoryStore, names: Namespace) {
    this.store = store;
    this.names = names;
    this.status = new MemoryValue<Status>({ initial: { state: "live", revision: store.revision } });
    // What is told may be older than what was seen when this was made.
    this.#unfollow = store.follow({ range: "" }, { changed: () => this.saw(store.revision) });
  }

  get closed(): AbortSignal {
    return this.#closing.signal;
  }

  source(extent: Extent): Source {
    let feed: MemoryFeed | undefined;
    return {
      enter: () => {
        this.closed.throwIfAborted();
        if (feed === undefined) {
          feed = this.open(extent, (left) => {
            this.feeds.delete(left);
            feed = undefined;
          });
          this.feeds.add(feed);
        }
        return feed.entered();
      },
      read: (signal) => this.read(extent, signal),
    };
  }

  // What follows is asynchronous as with a store that is elsewhere: what is refused rejects.

  async read(extent: Extent, signal: AbortSignal | undefined): Promise<{ revision: number; keys: StoredKey[] }> {
    await this.ready(signal);
    const keys = this.store.read(this.names.extent(extent)).map((key) => this.names.stored(key));
    return { revision: this.store.revision, keys };
  }

  async commit(commit: Commit, signal: AbortSignal | undefined): Promise<Outcome> {
    await this.ready(signal);
    return this.names.outcome(this.store.commit(this.names.commit(commit), (key) => this.names.key(key)));
  }

  async grant(ttlMs: number, signal: AbortSignal | undefined): Promise<Lease> {
    await this.ready(signal);
    const lease = new MemoryLease(this.store, Math.ceil(ttlMs / 1000) * 1000, {
      revoke: (id) => this.revoke(id),
      ended: () => this.leases.delete(lease),
    });
    this.leases.add(lease);
    return lease;
  }

  /** Ends all that was opened. The store goes on. */
  async close(): Promise<void> {
    if (this.closed.aborted) return;
    this.#closing.abort(keyspaceClosed());
    this.#unfollow();
    this.status.set({ state: "closed" });
    this.status.close();
    for (const feed of this.feeds) feed.end();
    await Promise.all([...this.leases].map((lease) => lease.end()));
  }

  /** Makes the feed of an extent, for its first watcher. */
  protected open(extent: Extent, onEmpty: (feed: MemoryFeed) => void): MemoryFeed {
    return new MemoryFeed(this.store, this.names, extent, onEmpty);
  }

  /** The store has reached this revision. */
  protected saw(revision: number): void {
    this.status.set({ state: "live", revision });
  }

  /** Ends a lease for its holder. */
  protected async revoke(id: string): Promise<void> {
    this.store.revoke(id);
  }

  /** Calls are answered in microtasks, so that a loop of them would keep timers and I/O out for ever. */
  protected async ready(signal: AbortSignal | undefined): Promise<void> {
    if (!admit()) await new Promise<void>(macrotask);
    signal?.throwIfAborted();
    this.closed.throwIfAborted();
  }
}
