/** A connection to a store in memory that can be held up, cut off, and made to fail. */
import { abortable } from "../internal/abort.ts";
import type { Commit, Extent, Outcome } from "../keyspace/store.ts";
import { MemoryConnection } from "../memory/memory-connection.ts";
import { MemoryFeed } from "../memory/memory-feed.ts";
import type { Made } from "../memory/memory-store.ts";

/** How a write is to fail. */
export interface WriteFailure {
  readonly error: unknown;
  /** Whether the store makes the write all the same. */
  readonly applied: boolean;
}

export class TestConnection extends MemoryConnection {
  declare protected readonly feeds: Set<TestFeed>;
  readonly #failures: WriteFailure[] = [];
  #paused = false;
  /** Resolves when the store can be reached again; undefined while it can. */
  #reached: Promise<void> | undefined;
  #reach: () => void = () => {};

  fail(failure: WriteFailure): void {
    this.#failures.push(failure);
  }

  pause(paused: boolean): void {
    this.#paused = paused;
    this.#hold();
  }

  cut(cause: unknown): void {
    if (this.closed.aborted) return;
    this.#reached ??= new Promise((resolve) => {
      this.#reach = resolve;
    });
    for (const lease of this.leases) lease.neglect();
    this.status.set({ state: "stale", since: new Date(), cause });
    this.#hold();
  }

  mend(): void {
    if (this.#reached === undefined || this.closed.aborted) return;
    this.#reached = undefined;
    this.#reach();
    for (const lease of this.leases) lease.keepAlive();
    this.saw(this.store.revision);
    this.#hold();
  }

  override async commit(commit: Commit, signal: AbortSignal | undefined): Promise<Outcome> {
    await this.ready(signal);
    const failure = commit.changes.length > 0 ? this.#failures.shift() : undefined;
    if (failure === undefined) return super.commit(commit, signal);
    if (failure.applied) await super.commit(commit, signal);
    throw failure.error;
  }

  protected override open(extent: Extent, onEmpty: (feed: MemoryFeed) => void): TestFeed {
    const feed = new TestFeed(this.store, this.names, extent, onEmpty);
    if (this.#isHeld) feed.hold();
    return feed;
  }

  protected override saw(revision: number): void {
    if (this.#reached === undefined) super.saw(revision);
  }

  get #isHeld(): boolean {
    return this.#paused || this.#reached !== undefined;
  }

  #hold(): void {
    for (const feed of this.feeds) {
      if (this.#isHeld) feed.hold();
      else feed.release();
    }
  }

  protected override async ready(signal: AbortSignal | undefined): Promise<void> {
    await super.ready(signal);
    if (this.#reached !== undefined) await abortable(abortable(this.#reached, signal), this.closed);
  }

  /** Where the store cannot be reached the lease is over by itself. */
  protected override async revoke(id: string): Promise<void> {
    if (this.#reached !== undefined) await abortable(this.#reached, this.closed).catch(() => {});
    if (this.#reached === undefined) await super.revoke(id);
  }
}

class TestFeed extends MemoryFeed {
  /** What has changed since it is held, in order. */
  #held: (() => void)[] | undefined;
  /** Whether a read was asked for since then. */
  #unread = false;

  hold(): void {
    this.#held ??= [];
  }

  release(): void {
    if (this.#held === undefined) return;
    for (const apply of this.#held) apply();
    this.#held = undefined;
    if (this.#unread) this.demand();
    else this.waiting.wake();
  }

  override changed(changes: readonly Made[], revision: number): void {
    if (this.#held === undefined) super.changed(changes, revision);
    else this.#held.push(() => this.apply(changes, revision));
  }

  protected override read(): void {
    this.#unread = this.#held !== undefined;
    if (!this.#unread) super.read();
  }
}
