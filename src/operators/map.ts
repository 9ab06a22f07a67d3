import { checkFunction } from "../internal/arguments.ts";
import type { Watchable } from "../watchable.ts";
import { checkWatchable, derive } from "./derived.ts";

/**
 * The values of `source`, each changed by `change`. Its watchers conflate as those of `source` do: `change` sees only
 * the values that are delivered.
 *
 * An exception of `change` rejects the `get()` that met it, and so does a promise that it returns (a `TypeError`); the
 * watcher goes on with the next value.
 *
 * @example
 * ```ts
 * import { map, MemoryValue } from "event-value";
 *
 * const celsius = new MemoryValue({ initial: 20 });
 * using watcher = map(celsius, (c) => c * 1.8 + 32).watch();
 * console.log(await watcher.get()); // 68
 * ```
 */
export function map<T, U>(source: Watchable<T>, change: (value: T) => U): Watchable<U> {
  checkWatchable(source, "map()");
  checkFunction(change, "map(): change");
  return derive(source, () => change);
}
