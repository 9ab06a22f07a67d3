/**
 * How the keyspace stands with the cluster, as `status` tells it.
 *
 * While anything is watched a small linearizable read is made every third of `staleAfterMs`. It is what proves
 * freshness: a member that is frozen, cut off from its quorum or silently unreachable may still hold connections
 * open and even answer progress requests. Who has no answer within a third is stale, so is a range that
 * was followed and is not any more for so long.
 */
import { EventValueError } from "../errors.ts";
import { sleep } from "../internal/backoff.ts";
import type { Status } from "../keyspace.ts";
import { MemoryValue } from "../memory/memory-value.ts";
import type { Watchable, Watcher, WatchOptions } from "../watchable.ts";
import type { Client } from "./client.ts";
import { classify } from "./errors.ts";
import { range as rangeMethod } from "./proto/methods.ts";
import { TransportError } from "./transport.ts";

export class Health {
  readonly #client: Client;
  readonly #probeKey: Uint8Array;
  readonly #probeMs: number;
  readonly #status = new MemoryValue<Status>();
  /** Feeds that lost the store, and when. */
  readonly #lost = new Map<object, number>();
  #users = 0;
  #stop: AbortController | undefined;
  #lastFailure: unknown;
  #lastRevision = 0;

  constructor(client: Client, probeKey: Uint8Array, staleAfterMs: number) {
    this.#client = client;
    this.#probeKey = probeKey;
    this.#probeMs = staleAfterMs / 3;
  }

  /** Watching it keeps the connection under observation. */
  readonly status: Watchable<Status> = {
    watch: (options?: WatchOptions): Watcher<Status> => {
      const watcher = this.#status.watch(options);
      this.enter();
      return leaving(watcher, options?.signal, () => this.leave());
    },
  };

  /** Somebody watches. */
  enter(): void {
    if (this.#users++ > 0 || this.#client.closed.aborted) return;
    this.#stop = new AbortController();
    this.#status.set({ state: "connecting", since: new Date() });
    void this.#observe(this.#stop.signal);
  }

  leave(): void {
    if (--this.#users === 0) this.#stop?.abort();
  }

  close(): void {
    this.#stop?.abort();
    this.#status.set({ state: "closed" });
    this.#status.close();
  }

  /** An attempt failed and will be repeated. */
  failed(error: unknown): void {
    this.#lastFailure = error;
    const status = this.#status.current;
    if (status?.state === "connecting" && this.#users > 0) this.#status.set({ ...status, cause: error });
  }

  /** `feed` follows the store, does not any more, or (undefined) does not care. */
  following(feed: object, follows: boolean | undefined): void {
    if (follows === false) {
      if (!this.#lost.has(feed)) this.#lost.set(feed, performance.now());
      return;
    }
    this.#lost.delete(feed);
  }

  async #observe(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      try {
        this.#answered(await this.#probe(stop));
      } catch (error) {
        if (stop.aborted) return;
        // Whatever else it was, it took its time, or is not going to change soon.
        this.#silent(error);
        if (!(error instanceof Late)) await sleep(this.#probeMs, stop).catch(() => {});
        continue;
      }
      await sleep(this.#probeMs, stop).catch(() => {});
    }
  }

  /** The store's revision, or undefined where it answers but this user may not know. */
  async #probe(stop: AbortSignal): Promise<number | undefined> {
    const probing = new AbortController();
    const abort = (): void => probing.abort();
    const timer = setTimeout(() => probing.abort(new Late()), this.#probeMs);
    stop.addEventListener("abort", abort);
    try {
      const options = { signal: probing.signal, deadlineMs: this.#probeMs / 2 };
      const { header } = await this.#client.attempt(rangeMethod, { key: this.#probeKey, keysOnly: true }, options);
      return header.revision;
    } catch (error) {
      // The read passes the quorum before it is refused.
      if (error instanceof TransportError && classify(error).code === "EV_PERMISSION_DENIED") return undefined;
      throw error;
    } finally {
      clearTimeout(timer);
      stop.removeEventListener("abort", abort);
    }
  }

  #answered(revision: number | undefined): void {
    const longAgo = performance.now() - this.#probeMs;
    for (const since of this.#lost.values()) if (since < longAgo) return this.#silent(new Late());
    if (revision !== undefined) this.#lastRevision = revision;
    const status = this.#status.current;
    if (status?.state !== "live" || status.revision !== this.#lastRevision) {
      this.#status.set({ state: "live", revision: this.#lastRevision });
    }
  }

  #silent(error: unknown): void {
    const status = this.#status.current;
    const cause = error instanceof Late ? (this.#lastFailure ?? error) : error;
    if (status?.state === "live") this.#status.set({ state: "stale", since: new Date(), cause });
    else if (status?.state === "connecting") this.#status.set({ ...status, cause });
  }
}

/** No answer in time. */
class Late extends EventValueError {
  constructor() {
    super("EV_UNAVAILABLE", "no member of the cluster has answered in time");
  }
}

/** `watcher`, with `left` called once when it is closed. */
function leaving<T>(watcher: Watcher<T>, signal: AbortSignal | undefined, left: () => void): Watcher<T> {
  let open = true;
  const leave = (): void => {
    if (!open) return;
    open = false;
    signal?.removeEventListener("abort", leave);
    left();
  };
  signal?.addEventListener("abort", leave);
  const close = watcher.close.bind(watcher);
  watcher.close = () => {
    close();
    leave();
  };
  return watcher;
}
