/**
 * The base of operators that change or drop single values: a watcher that is another one's, but for a step that each
 * value goes through on its way.
 *
 * The step runs inside the filter of the upstream `get()`, so that upstream and derived watcher take a value at the
 * same moment: what an abort leaves undelivered here is undelivered there, and nothing runs between gets.
 */
import { checkFunction, checkValue } from "../internal/arguments.ts";
import { disposable } from "../internal/dispose.ts";
import { iterateGets } from "../internal/iterate.ts";
import { checkGetOptions, checkWatchOptions } from "../internal/pull-watcher.ts";
import type { GetOptions, Watchable, Watcher, WatchOptions } from "../watchable.ts";

/** Says that a value is not to be delivered. */
export const SKIP: unique symbol = Symbol("skip");

/** What becomes of one value. An exception rejects the `get()` that met it. */
export type Step<in T, out U> = (value: T) => U | typeof SKIP;

/** A watchable whose watchers send each value through a step of their own, which is made when they are opened. */
export function derive<T, U>(source: Watchable<T>, makeStep: () => Step<T, U>): Watchable<U> {
  return {
    watch(options?: WatchOptions): Watcher<U> {
      checkWatchOptions(options);
      return new DerivedWatcher(source.watch(options), makeStep(), options?.signal);
    },
  };
}

class DerivedWatcher<T, U> implements Watcher<U> {
  declare [Symbol.dispose]: () => void;
  readonly #upstream: Watcher<T>;
  readonly #step: Step<T, U>;
  readonly #signal: AbortSignal | undefined;

  static {
    disposable(DerivedWatcher.prototype);
  }

  constructor(upstream: Watcher<T>, step: Step<T, U>, signal: AbortSignal | undefined) {
    this.#upstream = upstream;
    this.#step = step;
    this.#signal = signal;
  }

  get<S extends U>(options: GetOptions<U> & { filter: (value: U) => value is S }): Promise<S>;
  get(options?: GetOptions<U>): Promise<U>;
  get(options?: GetOptions<U>): Promise<U> {
    checkGetOptions(options);
    const accept = options?.filter;
    let taken: U;
    const got = this.#upstream
      .get({
        signal: options?.signal,
        backlogOnly: options?.backlogOnly,
        filter: (value) => {
          const result = this.#step(value);
          if (result === SKIP) return false;
          checkValue(result);
          if (accept !== undefined && !accept(result)) return false;
          taken = result;
          return true;
        },
      })
      .then(() => taken);
    got.catch(() => {});
    return got;
  }

  close(): void {
    this.#upstream.close();
  }

  [Symbol.asyncIterator](): AsyncIterator<U, undefined> {
    return iterateGets(this, this.#signal);
  }
}

/** Refuses anything but a watchable. */
export function checkWatchable(value: unknown, what: string): void {
  checkFunction((value as { readonly watch?: unknown } | null | undefined)?.watch, `${what}: watch of the watchable`);
}
