import { checkFunction } from "../internal/arguments.ts";
import type { Watchable } from "../watchable.ts";
import { checkWatchable, derive, SKIP } from "./derived.ts";

/**
 * The values of `source`, less those that equal the one before them. Each watcher compares with what went through it
 * last, so values that it skipped do not count: 1, 2, 1 with the 2 overwritten is one value.
 *
 * @param equals - whether two values are equal; `Object.is` by default. An exception rejects the `get()` that met it.
 *
 * @example
 * ```ts
 * import { distinctUntilChanged, MemoryValue } from "event-value";
 *
 * const level = new MemoryValue({ initial: 1 });
 * using watcher = distinctUntilChanged(level).watch();
 * await watcher.get();
 * level.set(1);
 * const next = watcher.get();
 * level.set(2);
 * console.log(await next); // 2
 * ```
 */
export function distinctUntilChanged<T>(
  source: Watchable<T>,
  equals: (previous: NoInfer<T>, next: NoInfer<T>) => boolean = Object.is,
): Watchable<T> {
  checkWatchable(source, "distinctUntilChanged()");
  checkFunction(equals, "distinctUntilChanged(): equals");
  return derive(source, () => {
    let previous: { readonly value: T } | undefined;
    return (value) => {
      if (previous !== undefined && equals(previous.value, value)) return SKIP;
      previous = { value };
      return value;
    };
  });
}
