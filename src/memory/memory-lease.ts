/** A lease of a `MemoryStore`, kept alive by its holder three times within its time to live, as one of etcd is. */
import { errorOf, keyspaceClosed } from "../errors.ts";
import { asyncDisposable } from "../internal/dispose.ts";
import type { Lease } from "../keyspace.ts";
import type { MemoryStore } from "./memory-store.ts";

/** What a lease is of. */
export interface LeaseHolder {
  readonly revoke: (id: string) => Promise<void>;
  /** The lease needs no care any more. */
  readonly ended: () => void;
}

export class MemoryLease implements Lease {
  declare [Symbol.asyncDispose]: () => Promise<void>;
  readonly id: string;
  readonly #store: MemoryStore;
  readonly #ttlMs: number;
  readonly #holder: LeaseHolder;
  readonly #lost = new AbortController();
  #closed: Promise<void> | undefined;
  /** The lease, which is to be revoked, is over by itself. */
  #expired: () => void = () => {};
  #cancel: () => void = () => {};

  static {
    asyncDisposable(MemoryLease.prototype, "close");
  }

  constructor(store: MemoryStore, ttlMs: number, holder: LeaseHolder) {
    this.#store = store;
    this.#ttlMs = ttlMs;
    this.#holder = holder;
    this.id = store.grant(ttlMs, () => this.#over());
    this.keepAlive();
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#lost.signal.aborted ? Promise.resolve() : this.#close());
  }

  /** The keyspace is closed, perhaps by somebody who does not know of the lease: who holds it is told. */
  end(): Promise<void> {
    const closing = this.close();
    this.#lost.abort(keyspaceClosed());
    return closing;
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

  async #close(): Promise<void> {
    this.#stop();
    const expired = new Promise<void>((resolve) => {
      this.#expired = resolve;
    });
    await Promise.race([this.#holder.revoke(this.id), expired]);
  }

  #over(): void {
    this.#expired();
    if (this.#closed !== undefined) return;
    this.#stop();
    this.#lost.abort(errorOf("EV_LEASE_NOT_FOUND", `lease ${this.id} is lost: its time to live has passed`, {}));
  }

  #stop(): void {
    this.#cancel();
    this.#holder.ended();
  }
}
