import { type EventValueErrorOf, isEventValueError } from "../errors.ts";
import { checkFunction } from "../internal/arguments.ts";
import { disposable } from "../internal/dispose.ts";
import { iterateGets } from "../internal/iterate.ts";
import { checkGetOptions, checkWatchOptions, concurrentGet, rejected } from "../internal/pull-watcher.ts";
import type { GetOptions, Watchable, Watcher, WatchOptions } from "../watchable.ts";
import { checkWatchable } from "./derived.ts";

/**
 * The values of `source`, less those that its decoder rejects: a `get()` that would reject with `EV_DECODE` tells that
 * to `report`, and waits for the next value. So what follows a key does not end because somebody wrote nonsense to it, and
 * goes on with the last value that was good.
 *
 * Each watcher reports what it meets itself, once. Any other error rejects the `get()`, and so does an exception of
 * `report`; the watcher goes on with the next value.
 *
 * @param report - by default, nobody is told.
 *
 * @example
 * ```ts
 * import { json, MemoryKeyspace, skipInvalid, text } from "event-value";
 *
 * const keyspace = new MemoryKeyspace();
 * const limit = keyspace.value("limit", json<number>());
 * using watcher = skipInvalid(limit, ({ key }) => console.log(`${key} is no JSON`)).watch(); // limit is no JSON
 * await keyspace.value("limit", text).set("{");
 * const next = watcher.get();
 * await new Promise(setImmediate);
 * await limit.set(5);
 * console.log(await next); // 5
 * ```
 */
export function skipInvalid<T>(
  source: Watchable<T>,
  report: (error: EventValueErrorOf<"EV_DECODE">) => void = () => {},
): Watchable<T> {
  checkWatchable(source, "skipInvalid()");
  checkFunction(report, "skipInvalid(): report");
  return {
    watch(options?: WatchOptions): Watcher<T> {
      checkWatchOptions(options);
      return new SkippingWatcher(source.watch(options), report, options?.signal);
    },
  };
}

class SkippingWatcher<T> implements Watcher<T> {
  declare [Symbol.dispose]: () => void;
  readonly #upstream: Watcher<T>;
  readonly #report: (error: EventValueErrorOf<"EV_DECODE">) => void;
  readonly #signal: AbortSignal | undefined;
  /**
   * The get that is pending. The upstream cannot tell: between two of its gets none is pending there. Undefined once
   * the outcome is certain, which its promise may learn some microtasks later.
   */
  #pending: GetOptions<T> | undefined;

  static {
    disposable(SkippingWatcher.prototype);
  }

  constructor(
    upstream: Watcher<T>,
    report: (error: EventValueErrorOf<"EV_DECODE">) => void,
    signal: AbortSignal | undefined,
  ) {
    this.#upstream = upstream;
    this.#report = report;
    this.#signal = signal;
  }

  get<S extends T>(options: GetOptions<T> & { filter: (value: T) => value is S }): Promise<S>;
  get(options?: GetOptions<T>): Promise<T>;
  get(options?: GetOptions<T>): Promise<T> {
    checkGetOptions(options);
    // What was aborted is over, whoever is still to hear of it.
    const over = this.#pending?.signal?.aborted === true || this.#signal?.aborted === true;
    if (this.#pending !== undefined && !over) return rejected(concurrentGet());
    const got = this.#next({ ...options });
    got.catch(() => {});
    return got;
  }

  close(): void {
    this.#pending = undefined;
    this.#upstream.close();
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    return iterateGets(this, this.#signal);
  }

  /** `options` are this get's own: it is known by them. */
  async #next(options: GetOptions<T>): Promise<T> {
    this.#pending = options;
    const { signal, backlogOnly, filter = () => true } = options;
    /** Whether the filter threw, which may be an `EV_DECODE` of its own. */
    let refused = false;
    const accept = (value: T): boolean => {
      let accepted = true;
      try {
        accepted = filter(value);
      } catch (error) {
        refused = true;
        throw error;
      } finally {
        if (accepted) this.#ended(options);
      }
      return accepted;
    };
    try {
      for (;;) {
        try {
          return await this.#upstream.get({ signal, backlogOnly, filter: accept });
        } catch (error) {
          if (refused || !isEventValueError(error, "EV_DECODE")) throw error;
          this.#report(error);
          signal?.throwIfAborted();
        }
      }
    } finally {
      this.#ended(options);
    }
  }

  #ended(get: GetOptions<T>): void {
    if (this.#pending === get) this.#pending = undefined;
  }
}
