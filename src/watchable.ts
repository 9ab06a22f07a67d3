/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The contract: what can be watched, what can be set, and what a watcher promises.
 *
 * Nothing here runs. Every implementation, in memory or on a store, is held to it by the one suite in
 * test/conformance.
 */

declare global {
  /** Merged with the platform's own, which is found in lib.dom or in Node's types. */
  interface AbortSignal {}
}

/** Options of {@link Watchable.watch}. */
export interface WatchOptions {
  /** Aborting closes the watcher: its pending `get()` and every later one reject with `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of {@link Watcher.get}. */
export interface GetOptions<in T> {
  /** Aborting rejects this `get()` only, with `signal.reason`; nothing counts as delivered. */
  signal?: AbortSignal | undefined;
  /** Values for which it returns `false` are skipped, as if they had been overwritten. */
  filter?: ((value: T) => boolean) | undefined;
  /**
   * Deliver what is pending, or reject with `EV_BACKLOG_DONE`: do not wait for news. On a store it waits for the
   * first contact with it, never for a change.
   *
   * @defaultValue false
   */
  backlogOnly?: boolean | undefined;
}

/** State that changes and can be watched by any number of consumers. */
export interface Watchable<out T> {
  /**
   * Opens a watcher. It is registered when the call returns: no value set later can be missed.
   *
   * @throws {@link EventValueError} `EV_CLOSED` where the value has ended.
   */
  watch(options?: WatchOptions): Watcher<T>;
}

/** Something a value can be written to. */
export interface Sink<in T> {
  /** Where it returns a promise, that settles when the backend has the value. */
  readonly set: (value: T) => void | Promise<unknown>;
}

/** State that can be watched and set. */
export interface Value<in out T> extends Watchable<T>, Sink<T> {}

/**
 * One consumer's position in the life of a value.
 *
 * A watcher is given the newest value it has not been given yet; what was overwritten in between is skipped
 * (conflation), the last value never is. It holds no backlog of values, so it can be left alone for as long as
 * one likes. Close it when done: by `close()`, by `using`, by leaving a `for await` loop, or by the signal given
 * to `watch()`.
 */
export interface Watcher<out T> extends AsyncIterable<T>, Disposable {
  /**
   * Resolves with the newest value not yet delivered to this watcher, waiting if there is none. Values set in
   * between are skipped, never reordered; the first call gets the current value, if one was set.
   *
   * Aborting `options.signal` rejects this call only, with `signal.reason`; nothing is marked delivered and the
   * watcher stays usable. A filter that throws rejects this call with its error; the watcher goes on with the
   * next value. A promise of `get()` that nobody holds never becomes an unhandled rejection.
   *
   * @throws {@link EventValueError} `EV_CONCURRENT_GET` while another call is pending; `EV_BACKLOG_DONE` where
   *   `backlogOnly` is set and nothing is pending; `EV_CLOSED` once the watcher is closed or the value has ended.
   */
  get<S extends T>(options: GetOptions<T> & { filter: (value: T) => value is S }): Promise<S>;
  get(options?: GetOptions<T>): Promise<T>;
  /**
   * Closes the watcher; closing it again does nothing. A pending `get()` and every later one reject with
   * `EV_CLOSED`; a `for await` loop ends.
   */
  close(): void;
}
