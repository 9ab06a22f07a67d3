import { isEventValueError } from "../errors.ts";
import { abortable, follow } from "../internal/abort.ts";
import { checkFunction, checkOptions, type Known } from "../internal/arguments.ts";
import { Backoff } from "../internal/backoff.ts";
import { quietlyUnless } from "../internal/quiet.ts";
import type { Keyspace, Lease, WriteOptions } from "../keyspace.ts";
import { checkWatchable } from "../operators/derived.ts";
import { runLatest } from "../operators/run-latest.ts";
import type { Watchable } from "../watchable.ts";
import { checkMs } from "./arguments.ts";

/** What {@link announce} writes to: a `KeyValue`, or what writes a key with the lease, on the condition and until the abort it is given. */
export interface AnnounceTarget<in T> {
  readonly set: (value: T, options: WriteOptions) => Promise<{ readonly revision: number }>;
}

/** Options of {@link announce}. */
export interface AnnounceOptions {
  /** Aborting revokes the lease, so that the key goes at once, and then rejects with `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
  /** How long the key outlives an announcer that is gone without a word, in milliseconds. @defaultValue 10000 */
  readonly ttlMs?: number | undefined;
}

const announceOptions: Known = { signal: "AbortSignal", ttlMs: "number" };

/**
 * Keeps the newest of `value` written to `key`, bound to a lease, until `signal` is aborted: who looks finds the key
 * while this process is there, and not for long when it is not.
 *
 * Values are written one at a time, and conflated while the store is busy or out of reach. Where the lease is lost, as
 * the store was out of reach for longer than its time to live, the value is written again with another one; what fails
 * with `EV_UNAVAILABLE` is tried again, and a write whose answer was lost never comes after a newer one. What somebody
 * else makes of the key is overwritten, but not before there is another value, or another lease. A constant is announced
 * as `new MemoryValue({ initial: constant })`, and a value that has ended stays announced as it was last.
 *
 * Rejects with `signal.reason` on abort, with the first error of `value`, and with what the store refuses; resolves only
 * where `value` ends without ever having had one. In any case the lease is revoked first, unless the store cannot be
 * reached: then that is tried for as long as the lease lives. Closing the keyspace ends it
 * with `EV_CLOSED`.
 *
 * @param keyspace - grants the leases; `key` is one of its keys.
 * @param value - a watchable only, as a value may well have a method named `watch`.
 * @throws {@link EventValueError} what the store refuses, such as `EV_PERMISSION_DENIED`; `EV_CLOSED`.
 *
 * @example
 * ```ts
 * import { announce, MemoryKeyspace, MemoryValue, text, waitFor } from "event-value";
 *
 * const keyspace = new MemoryKeyspace();
 * const server = keyspace.value("servers/a", text);
 * const url = new MemoryValue({ initial: "http://10.0.0.7" });
 * const stop = new AbortController();
 * const announcing = announce(keyspace, server, url, { signal: stop.signal });
 * console.log(await waitFor(server, (found) => found !== undefined)); // http://10.0.0.7
 * stop.abort("enough");
 * console.log(await announcing.catch((reason) => reason), await server.read()); // enough undefined
 * ```
 */
export function announce<T>(
  keyspace: Pick<Keyspace, "lease">,
  key: AnnounceTarget<T>,
  value: Watchable<T>,
  options: AnnounceOptions = {},
): Promise<void> {
  checkFunction((keyspace as Partial<Keyspace> | undefined)?.lease, "announce(): lease of the keyspace");
  checkFunction((key as Partial<AnnounceTarget<T>> | undefined)?.set, "announce(): set of the key");
  checkWatchable(value, "announce()");
  checkOptions(options, announceOptions, "announce()");
  const { signal, ttlMs = 10_000 } = options;
  checkMs(ttlMs, "announce(): ttlMs");
  const announcement = new Announcement(key, () => keyspace.lease({ ttlMs, signal }), signal);
  // A write that failed is the caller's to handle; whatever else ended it may go unnoticed.
  return quietlyUnless(() => announcement.hasFailed, announcement.run(value));
}

class Announcement<T> {
  /** Whether a write is why it ends, and not that the keyspace was closed. */
  hasFailed = false;
  readonly #key: AnnounceTarget<T>;
  readonly #grant: () => Promise<Lease>;
  readonly #signal: AbortSignal | undefined;
  readonly #backoff = new Backoff();
  /** What the key is bound to, or is to be. */
  #lease: Lease | undefined;
  /**
   * The key's, as far as is known. Each write is on the condition of it, or one whose answer was lost could be made after
   * the next.
   */
  #revision = 0;

  constructor(key: AnnounceTarget<T>, grant: () => Promise<Lease>, signal: AbortSignal | undefined) {
    this.#key = key;
    this.#grant = grant;
    this.#signal = signal;
  }

  async run(value: Watchable<T>): Promise<void> {
    try {
      await runLatest(value, (newest, { signal }) => this.#hold(newest, signal), {
        signal: this.#signal,
        equals: () => false,
      });
    } finally {
      await this.#release();
    }
  }

  /** Keeps `value` written until `changed` is aborted. */
  async #hold(value: T, changed: AbortSignal): Promise<void> {
    while (!changed.aborted) {
      try {
        this.#lease ??= await this.#grant();
        if (changed.aborted) return;
        const lease = this.#lease;
        // Not aborted by `changed`: one write after the other.
        const written = await this.#key.set(value, { lease, ifRevision: this.#revision, signal: this.#signal });
        this.#revision = written.revision;
        this.#backoff.reset();
        await eitherAborted(changed, lease.lost);
        lease.lost.throwIfAborted();
      } catch (error) {
        if (isEventValueError(error, "EV_CONFLICT") && error.currentRevision !== this.#revision) {
          this.#revision = error.currentRevision;
          continue;
        }
        if (isEventValueError(error, "EV_LEASE_NOT_FOUND")) void this.#release();
        else if (!isEventValueError(error, "EV_UNAVAILABLE")) {
          this.hasFailed = this.#signal?.aborted !== true && !isEventValueError(error, "EV_CLOSED");
          throw error;
        }
        await this.#backoff.wait(changed);
      }
    }
  }

  async #release(): Promise<void> {
    const lease = this.#lease;
    this.#lease = undefined;
    // Where it cannot be revoked it expires.
    await lease?.close().catch(() => {});
  }
}

/** Resolves when one of the two is aborted, and leaves nothing behind on the other. */
async function eitherAborted(...signals: readonly [AbortSignal, AbortSignal]): Promise<void> {
  const either = new AbortController();
  const following = signals.map((signal) => follow(either, signal));
  await abortable(new Promise<never>(() => {}), either.signal).catch(() => {});
  for (const entry of following) entry.unlink();
}
