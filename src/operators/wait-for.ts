import { checkFunction, checkOptions, type Known } from "../internal/arguments.ts";
import type { Watchable } from "../watchable.ts";
import { checkWatchable } from "./derived.ts";

/** Options of {@link waitFor}. */
export interface WaitForOptions {
  /** Aborting rejects with `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
}

const waitForOptions: Known = { signal: "AbortSignal" };

/**
 * Resolves with the newest value for which `predicate` says yes, waiting for one if need be.
 *
 * Rejects with `signal.reason` on abort, with what `predicate` throws, and with `EV_CLOSED` where the value ends first.
 * It leaves no watcher open.
 *
 * @example
 * ```ts
 * import { MemoryValue, waitFor } from "event-value";
 *
 * const state = new MemoryValue({ initial: "starting" });
 * const ready = waitFor(state, (s) => s === "ready", { signal: AbortSignal.timeout(5000) });
 * state.set("ready");
 * console.log(await ready); // ready
 * ```
 */
export function waitFor<T, S extends T>(
  source: Watchable<T>,
  predicate: (value: T) => value is S,
  options?: WaitForOptions,
): Promise<S>;
export function waitFor<T>(
  source: Watchable<T>,
  predicate: (value: T) => boolean,
  options?: WaitForOptions,
): Promise<T>;
export function waitFor<T>(
  source: Watchable<T>,
  predicate: (value: T) => boolean,
  options?: WaitForOptions,
): Promise<T> {
  checkWatchable(source, "waitFor()");
  checkFunction(predicate, "waitFor(): predicate");
  checkOptions(options, waitForOptions, "waitFor()");
  const waiting = wait(source, predicate, options?.signal);
  waiting.catch(() => {});
  return waiting;
}

async function wait<T>(
  source: Watchable<T>,
  predicate: (value: T) => boolean,
  signal: AbortSignal | undefined,
): Promise<T> {
  signal?.throwIfAborted();
  const watcher = source.watch();
  try {
    return await watcher.get({ filter: predicate, signal });
  } finally {
    watcher.close();
  }
}
