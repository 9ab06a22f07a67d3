/** A lease of a `MemoryStore`, kept alive by its holder three times within its time to live, as one of etcd is. */
import { errorOf } from "../errors.ts";
import { asyncDisposable } from "../internal/dispose.ts";
import type { Lease } from "../keyspace.ts";
import type { MemoryStore } from "./memory-store.ts";

export class MemoryLease implements Lease {
  declare [Symbol.asyncDispose]: () => Promise<void>;
  readonly id: string;
  readonly #store: MemoryStore;
  readonly #ttlMs: number;
  readonly #lost = new AbortController();
  readonly #onEnd: (lease: MemoryLease) => void;
  #cancel: () => void = () => {};

  static {
    asyncDisposable(MemoryLease.prototype, "close");
  }

  constructor(store: MemoryStore, ttlMs: number, onEnd: (lease: MemoryLease) => void) {
    this.#store = store;
    this.#ttlMs = ttlMs;
    this.#onEnd = onEnd;
    this.id = store.grant(ttlMs, () => this.#lose());
    this.keepAlive();
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  close(): Promise<void> {
    this.#stop();
    this.#store.revoke(this.id);
    return Promise.resolve();
  }

  /** Keeps it alive from here on. */
  keepAlive(): void {
    this.#cancel = this.#store.clock.after(this.#ttlMs / 3, () => this.keepAlive());
    this.#store.keepAlive(this.id);
  }

  /** Keeps it alive no more. */
  neglect(): void {
    this.#cancel();
  }

  #lose(): void {
    this.#stop();
    this.#lost.abort(errorOf("EV_LEASE_NOT_FOUND", `lease ${this.id} is lost: its time to live has passed`, {}));
  }

  #stop(): void {
    this.#cancel();
    this.#onEnd(this);
  }
}
