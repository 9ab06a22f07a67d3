/**
 * Leases: granted, kept alive on one stream for all leases of a keyspace, revoked.
 *
 * A lease is kept alive three times within its TTL; a member that leaves a keepalive unanswered until the next one is
 * left for another. It counts as lost when the server says so, or when the TTL has
 * passed since the *sending* of the last keepalive that was answered: the server's own count began after that, so
 * the lease is never thought alive when it is not, as long as the event loop is not blocked. Time is the monotonic
 * clock's.
 */
import { errorOf, isEventValueError, keyspaceClosed } from "../errors.ts";
import { follow } from "../internal/abort.ts";
import { Backoff, mostMs } from "../internal/backoff.ts";
import { asyncDisposable } from "../internal/dispose.ts";
import type { Lease } from "../keyspace.ts";
import type { Client } from "./client.ts";
import { classify, lateError, toEventValueError } from "./errors.ts";
import type { LeaseKeepAliveRequest, LeaseKeepAliveResponse } from "./proto/generated/etcd.ts";
import { leaseGrant, leaseKeepAlive, leaseRevoke } from "./proto/methods.ts";
import { type Duplex, type Transport, TransportError } from "./transport.ts";

/** A grant whose answer was lost may be repeated: the lease nobody knows of expires by itself. */
const grant = { ...leaseGrant, write: false };
/** Revoking twice is revoking. */
const revoke = { ...leaseRevoke, write: false };

/** How long closing a keyspace waits for its leases to be revoked; they expire by themselves otherwise. */
const revokeOnCloseMs = 2000;

/** The stream of keepalives, and the member it leads to. */
interface Open {
  readonly transport: Transport;
  readonly stream: Duplex<LeaseKeepAliveRequest>;
}

/** Grants leases and keeps them alive. */
export class Leases {
  readonly #client: Client;
  readonly #leases = new Map<string, EtcdLease>();
  #open: Open | undefined;
  #opening = false;
  #closed = false;
  readonly #backoff = new Backoff();
  /** Revocations under way. */
  readonly #revoking = new Set<Promise<void>>();
  /** Aborted when the keyspace waits for them no longer. */
  readonly #late = new AbortController();

  constructor(client: Client) {
    this.#client = client;
  }

  async grant(ttlMs: number, signal: AbortSignal | undefined): Promise<Lease> {
    for (;;) {
      const sent = performance.now();
      const { id, ttl } = await this.#client.call(grant, { ttl: Math.ceil(ttlMs / 1000), id: undefined }, { signal });
      if (this.#closed) {
        this.revoke(id, sent + ttl * 1000).catch(() => {});
        throw keyspaceClosed();
      }
      // What took longer to answer than the lease lives is no lease.
      if (performance.now() < sent + ttl * 1000) {
        const lease = new EtcdLease(id, ttl * 1000, sent, this);
        this.#leases.set(id, lease);
        this.#ensureOpen();
        return lease;
      }
    }
  }

  /** Sends a keepalive, now or as soon as there is a stream. */
  keepAlive(lease: EtcdLease): void {
    if (this.#open === undefined) this.#ensureOpen();
    else if (lease.isNeglected) {
      const { transport, stream } = this.#open;
      stream.close();
      this.#failed(transport, lateError("lease", "a keepalive was not answered"));
    } else this.#send(this.#open.stream, lease);
  }

  /** The lease needs no more keepalives. */
  forget(id: string): void {
    this.#leases.delete(id);
    if (this.#leases.size > 0 || this.#open === undefined) return;
    this.#open.stream.close();
    this.#open = undefined;
  }

  /** Revokes a lease; gives up when it is over by itself, at `expiresAt`, or when the keyspace is closed. */
  revoke(id: string, expiresAt: number): Promise<void> {
    const revoking = this.#revoke(id, expiresAt).finally(() => this.#revoking.delete(revoking));
    this.#revoking.add(revoking);
    return revoking;
  }

  async #revoke(id: string, expiresAt: number): Promise<void> {
    const over = new AbortController();
    const following = follow(over, this.#late.signal);
    const timer = setTimeout(() => over.abort(), Math.min(expiresAt - performance.now(), mostMs));
    try {
      await this.#client.attempt(revoke, { id }, { signal: over.signal });
    } catch (error) {
      if (over.signal.aborted || isEventValueError(error, "EV_CLOSED")) return;
      if (!(error instanceof TransportError)) throw error;
      if (classify(error).code !== "EV_LEASE_NOT_FOUND") throw toEventValueError(error, { write: true });
    } finally {
      clearTimeout(timer);
      following.unlink();
    }
  }

  /** Revokes all leases, as far as the store can be reached in a moment. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const lease of this.#leases.values()) lease.end();
    if (this.#revoking.size === 0) return;
    const timer = setTimeout(() => this.#late.abort(), revokeOnCloseMs);
    await Promise.allSettled(this.#revoking);
    clearTimeout(timer);
  }

  #send(stream: Duplex<LeaseKeepAliveRequest>, lease: EtcdLease): void {
    lease.sent(performance.now());
    stream.send({ id: lease.id });
  }

  #ensureOpen(): void {
    if (this.#open !== undefined || this.#opening) return;
    this.#opening = true;
    void this.#openStream();
  }

  async #openStream(): Promise<void> {
    const { closed } = this.#client;
    try {
      const { transport, token } = await this.#client.access(closed);
      if (this.#leases.size === 0) return;
      const stream = transport.duplex(
        leaseKeepAlive,
        {
          message: (answer) => this.#answered(answer),
          end: (error) => {
            if (this.#open?.stream !== stream) return;
            if (classify(error).kind === "auth") this.#client.expire({ transport, token });
            this.#failed(transport, error);
          },
        },
        { token },
      );
      this.#open = { transport, stream };
      for (const lease of this.#leases.values()) {
        lease.unanswered();
        this.#send(stream, lease);
      }
    } catch {
      // Credentials were refused, or the keyspace is closed: a lease is lost when its time is over.
      if (!closed.aborted) void this.#reopen();
    } finally {
      this.#opening = false;
    }
  }

  #failed(transport: Transport, error: TransportError): void {
    this.#open = undefined;
    this.#client.leave(transport, error);
    void this.#reopen();
  }

  async #reopen(): Promise<void> {
    await this.#backoff.wait(this.#client.closed).catch(() => {});
    if (!this.#client.closed.aborted && this.#leases.size > 0) this.#ensureOpen();
  }

  #answered({ id, ttl }: LeaseKeepAliveResponse): void {
    this.#backoff.reset();
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    if (ttl > 0) lease.answered(ttl * 1000);
    else lease.lose("the store says that it has expired or was revoked");
  }
}

class EtcdLease implements Lease {
  declare [Symbol.asyncDispose]: () => Promise<void>;
  readonly id: string;
  readonly #leases: Leases;
  readonly #lost = new AbortController();
  /** When the keepalives were sent that are not answered, oldest first. Answers come in that order. */
  #unanswered: number[] = [];
  #ttlMs: number;
  /** When it is over, unless a keepalive is answered before, by the monotonic clock. */
  #expiresAt: number;
  #expiry: NodeJS.Timeout;
  #next: NodeJS.Timeout;
  #ended: Promise<void> | undefined;

  static {
    asyncDisposable(EtcdLease.prototype, "close");
  }

  constructor(id: string, ttlMs: number, granted: number, leases: Leases) {
    this.id = id;
    this.#leases = leases;
    this.#ttlMs = ttlMs;
    this.#expiresAt = granted + ttlMs;
    this.#expiry = this.#awaitExpiry();
    this.#next = this.#keepAliveIn(ttlMs / 3);
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  close(): Promise<void> {
    this.#ended ??= this.#lost.signal.aborted ? Promise.resolve() : this.#revoke();
    return this.#ended;
  }

  /** The keyspace is closed, perhaps by somebody who does not know of the lease: who holds it is told. */
  end(): void {
    this.close().catch(() => {});
    this.#lost.abort(keyspaceClosed());
  }

  #revoke(): Promise<void> {
    this.#stop();
    return this.#leases.revoke(this.id, this.#expiresAt);
  }

  sent(at: number): void {
    this.#unanswered.push(at);
  }

  /** Whether a keepalive is unanswered for half the time after which the next one is sent. */
  get isNeglected(): boolean {
    const [oldest = Infinity] = this.#unanswered;
    return performance.now() - oldest >= this.#ttlMs / 6;
  }

  /** What was sent on another stream will not be answered. */
  unanswered(): void {
    this.#unanswered = [];
  }

  answered(ttlMs: number): void {
    const sent = this.#unanswered.shift();
    if (sent === undefined) return;
    this.#ttlMs = ttlMs;
    clearTimeout(this.#expiry);
    this.#expiresAt = sent + ttlMs;
    this.#expiry = this.#awaitExpiry();
  }

  lose(why: string): void {
    this.#stop();
    this.#lost.abort(errorOf("EV_LEASE_NOT_FOUND", `lease ${this.id} is lost: ${why}`, {}));
  }

  #stop(): void {
    clearTimeout(this.#expiry);
    clearTimeout(this.#next);
    this.#leases.forget(this.id);
  }

  #awaitExpiry(): NodeJS.Timeout {
    const ms = this.#expiresAt - performance.now();
    if (ms > mostMs) return setTimeout(() => (this.#expiry = this.#awaitExpiry()), mostMs);
    return setTimeout(() => this.lose("no keepalive was answered within its time to live"), ms);
  }

  #keepAliveIn(ms: number): NodeJS.Timeout {
    return setTimeout(
      () => {
        this.#next = this.#keepAliveIn(this.#ttlMs / 3);
        this.#leases.keepAlive(this);
      },
      Math.min(ms, mostMs),
    );
  }
}
