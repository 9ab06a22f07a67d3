import { checkFunction } from "../internal/arguments.ts";
import type { Watchable } from "../watchable.ts";
import { checkWatchable, derive, SKIP } from "./derived.ts";

/**
 * The values of `source` for which `accept` says yes. The others are skipped as if they had been overwritten; note
 * that a value may be overwritten by one that is skipped.
 *
 * An exception of `accept` rejects the `get()` that met it; the watcher goes on with the next value.
 *
 * @example
 * ```ts
 * import { filter, MemoryValue } from "event-value";
 *
 * const address = new MemoryValue<string | undefined>();
 * using watcher = filter(address, (a) => a !== undefined).watch();
 * address.set(undefined);
 * const first = watcher.get();
 * address.set("192.0.2.1");
 * console.log(await first); // 192.0.2.1
 * ```
 */
export function filter<T, S extends T>(source: Watchable<T>, accept: (value: T) => value is S): Watchable<S>;
export function filter<T>(source: Watchable<T>, accept: (value: T) => boolean): Watchable<T>;
export function filter<T>(source: Watchable<T>, accept: (value: T) => boolean): Watchable<T> {
  checkWatchable(source, "filter()");
  checkFunction(accept, "filter(): accept");
  return derive(source, () => (value) => (accept(value) ? value : SKIP));
}
