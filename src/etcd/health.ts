/**
 * How the keyspace stands with the cluster, as `status` tells it.
 *
 * While anything is watched a small linearizable read is made every third of `staleAfterMs`. It is what proves
 * freshness: a member that is frozen, cut off from its quorum or silently unreachable may still hold connections
 * open and even answer progress requests. Who has no answer within a third is stale, so is a range that
 * was followed and is not any more for so long. A member that does not answer is left for another one.
 */
import { errorOf, type EventValueError } from "../errors.ts";
import { follow } from "../internal/abort.ts";
import { sleep } from "../internal/backoff.ts";
import type { Status } from "../keyspace.ts";
import { MemoryValue } from "../memory/memory-value.ts";
import type { Watchable, Watcher, WatchOptions } from "../watchable.ts";
import type { Client } from "./client.ts";
import { classify } from "./errors.ts";
import { range as rangeMethod } from "./proto/methods.ts";
import { TransportError } from "./transport.ts";

/** A member that is far away answers a read within this, on most networks. */
const leastPatienceMs = 1000;

export class Health {
  readonly #client: Client;
  readonly #probeKey: Uint8Array;
  readonly #probeMs: number;
  /** How long a member may take to answer a probe before another one is asked. */
  readonly #patienceMs: number;
  readonly #status = new MemoryValue<Status>();
  /** Feeds that lost the store, and when. */
  readonly #lost = new Map<object, number>();
  #users = 0;
  #stop: AbortController | undefined;
  #lastFailure: unknown;
  #lastRevision = 0;
  /** When the last probe was answered. */
  #answeredAt = -Infinity;
  /** Ends the pause between two probes. */
  #probeNow: (() => void) | undefined;

  constructor(client: Client, probeKey: Uint8Array, staleAfterMs: number) {
    this.#client = client;
    this.#probeKey = probeKey;
    this.#probeMs = staleAfterMs / 3;
    // Who wants to know soon shall not lose a member, and the stream with it, that is only far away.
    this.#patienceMs = Math.max(this.#probeMs / 2, leastPatienceMs);
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
    if (performance.now() - this.#answeredAt > this.#probeMs)
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
    } else if (this.#lost.delete(feed) && this.#status.current?.state === "stale") this.#probeNow?.();
  }

  /**
   * The store has reached this revision, as a feed has seen: a user may be permitted nothing that the probe reads. The
   * first thing a feed sees is the answer to a linearizable read, which is as good as that to a probe.
   */
  saw(revision: number): void {
    if (revision > this.#lastRevision) this.#lastRevision = revision;
    if (this.#status.current?.state === "connecting") this.#answered(undefined);
  }

  async #observe(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      const late = setTimeout(() => this.#silent(this.#lastFailure ?? noAnswer()), this.#probeMs);
      let answered = true;
      try {
        const revision = await this.#probe(stop);
        if (stop.aborted) return;
        answered = revision !== "given up";
        if (revision !== "given up") this.#answered(revision);
      } catch (error) {
        if (stop.aborted) return;
        this.#silent(error);
      } finally {
        clearTimeout(late);
      }
      // What was given up has taken its time already.
      if (answered) await this.#pause(stop);
    }
  }

  /** The store's revision; undefined where it answers but does not let this user know. Two members are asked at most. */
  async #probe(stop: AbortSignal): Promise<number | undefined | "given up"> {
    const probing = new AbortController();
    const following = follow(probing, stop);
    const timer = setTimeout(() => probing.abort(), 2 * this.#patienceMs);
    try {
      const options = { signal: probing.signal, deadlineMs: this.#patienceMs };
      const { header } = await this.#client.attempt(rangeMethod, { key: this.#probeKey, keysOnly: true }, options);
      return header.revision;
    } catch (error) {
      // The read has passed the quorum when it is refused.
      if (error instanceof TransportError && classify(error).kind === "denied") return undefined;
      if (probing.signal.aborted) return "given up";
      throw error;
    } finally {
      clearTimeout(timer);
      following.unlink();
    }
  }

  /** Resolves when the next probe is due. */
  #pause(stop: AbortSignal): Promise<void> {
    const pausing = new AbortController();
    const following = follow(pausing, stop);
    this.#probeNow = () => pausing.abort();
    return sleep(this.#probeMs, pausing.signal)
      .catch(() => {})
      .finally(() => following.unlink());
  }

  #answered(revision: number | undefined): void {
    this.#answeredAt = performance.now();
    const longAgo = this.#answeredAt - this.#probeMs;
    for (const since of this.#lost.values()) if (since < longAgo) return this.#silent(this.#lastFailure ?? noAnswer());
    if (revision !== undefined) this.#lastRevision = revision;
    const status = this.#status.current;
    if (status?.state === "live" && status.revision === this.#lastRevision) return;
    this.#status.set({ state: "live", revision: this.#lastRevision });
  }

  #silent(cause: unknown): void {
    const status = this.#status.current;
    if (status?.state === "live") this.#status.set({ state: "stale", since: new Date(), cause });
    else if (status?.state === "connecting") this.#status.set({ ...status, cause });
  }
}

function noAnswer(): EventValueError {
  return errorOf("EV_UNAVAILABLE", "no member of the cluster has answered in time", { maybeApplied: false });
}

/** `watcher`, with `left` called once when it is closed; it is by `signal`, too. */
function leaving<T>(watcher: Watcher<T>, signal: AbortSignal | undefined, left: () => void): Watcher<T> {
  let open = true;
  const close = watcher.close.bind(watcher);
  watcher.close = () => {
    close();
    if (open) left();
    open = false;
  };
  if (signal?.aborted === true) watcher.close();
  return watcher;
}
