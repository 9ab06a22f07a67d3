import { checkFunction, checkOptions, type Known } from "../internal/arguments.ts";
import type { Watchable } from "../watchable.ts";
import { checkWatchable } from "./derived.ts";
import { runAlong } from "./following-task.ts";

/** What the task of {@link runLatest} is told beside its value. */
export interface RunLatestContext<out T> {
  /** Aborted when the value has changed, or when all is to end. */
  readonly signal: AbortSignal;
  /** The value that the task ran with before; `undefined` the first time. */
  readonly previous: T | undefined;
}

/** Options of {@link runLatest}. `S` is what `select` gives. */
export interface RunLatestOptions<in T, in out S = T> {
  /** Aborting aborts the task and, when that has settled, rejects with `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
  /**
   * The part of a value that the task depends on: while it stays the same, the task is not disturbed.
   *
   * @defaultValue the value itself
   */
  readonly select?: ((value: T) => S) | undefined;
  /**
   * Whether that part is the same.
   *
   * @defaultValue `Object.is`
   */
  readonly equals?: ((previous: NoInfer<S>, next: NoInfer<S>) => boolean) | undefined;
}

const runLatestOptions: Known = { signal: "AbortSignal", select: "function", equals: "function" };

/**
 * Runs `task` with the newest value of `source`, and anew whenever that has changed: the signal of the task that runs
 * is aborted, and when it has settled, the task runs with the value that is the newest by then. Values in between are
 * skipped, and two runs never overlap: a task that ignores its signal is waited for. A task that has ended by itself runs
 * again with the next change.
 *
 * Resolves when the source has ended and the task has run with its last value to the end. Rejects with `signal.reason`
 * on abort, and with the first error of the source, the task, `select` or `equals`: each of them aborts the task, is
 * told when that has settled, and leaves no watcher open. That a task which was aborted rejects with its
 * signal's reason, or with an `AbortError`, is no error.
 *
 * @param task - what it returns is awaited.
 * @throws {@link EventValueError} `EV_CLOSED` where the source had ended before the call.
 *
 * @example
 * ```ts
 * import { MemoryValue, runLatest } from "event-value";
 *
 * const config = new MemoryValue({ initial: { port: 80, comment: "" } });
 * const stop = new AbortController();
 * const serving = runLatest(
 *   config,
 *   async ({ port }, { signal }) => {
 *     console.log(`serving on ${port}`); // serving on 80 serving on 8080
 *     await new Promise((stopped) => signal.addEventListener("abort", stopped));
 *   },
 *   { select: ({ port }) => port, signal: stop.signal },
 * );
 * for (const port of [80, 8080]) {
 *   config.set({ port, comment: "changed" });
 *   await new Promise(setImmediate);
 * }
 * stop.abort("enough");
 * console.log(await serving.catch((reason) => reason)); // enough
 * ```
 */
export function runLatest<T, S = T>(
  source: Watchable<T>,
  task: (value: T, context: RunLatestContext<T>) => unknown,
  options?: RunLatestOptions<T, S>,
): Promise<void> {
  checkWatchable(source, "runLatest()");
  checkFunction(task, "runLatest(): task");
  checkOptions(options, runLatestOptions, "runLatest()");
  const { signal, select = (value: T) => value as unknown as S, equals = Object.is } = options ?? {};
  return runAlong(
    source,
    { select, equals, run: ({ value }, aborted, previous) => task(value, { signal: aborted, previous }) },
    signal,
  );
}
