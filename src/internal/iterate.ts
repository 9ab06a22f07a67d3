import { isEventValueError } from "../errors.ts";
import type { Watcher } from "../watchable.ts";

/**
 * A `for await` over a watcher that has only `get` and `close`. The loop ends normally when the watcher is closed or
 * what it watches ends, and throws `signal.reason` where the signal given to `watch()` is what closed it.
 */
export function iterateGets<T>(
  watcher: Pick<Watcher<T>, "get" | "close">,
  signal: AbortSignal | undefined,
): AsyncIterator<T, undefined> {
  return {
    next(): Promise<IteratorResult<T, undefined>> {
      const next = watcher.get().then(
        (value): IteratorResult<T, undefined> => ({ done: false, value }),
        (error: unknown): IteratorResult<T, undefined> => {
          const aborted = signal?.aborted === true && error === signal.reason;
          if (!aborted && isEventValueError(error, "EV_CLOSED")) return { done: true, value: undefined };
          throw error;
        },
      );
      next.catch(() => {});
      return next;
    },
    return(): Promise<IteratorResult<T, undefined>> {
      watcher.close();
      return Promise.resolve({ done: true, value: undefined });
    },
  };
}
