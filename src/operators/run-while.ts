import { checkFunction, checkOptions, type Known } from "../internal/arguments.ts";
import type { Watchable } from "../watchable.ts";
import { checkWatchable } from "./derived.ts";
import { runAlong } from "./following-task.ts";

/** What the task of {@link runWhile} is told beside its value. */
export interface RunWhileContext {
  /** Aborted when a value does not match any more, or when all is to end. */
  readonly signal: AbortSignal;
}

/** Options of {@link runWhile}. */
export interface RunWhileOptions {
  /** Aborting aborts the task and, when that has settled, rejects with `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
}

const runWhileOptions: Known = { signal: "AbortSignal" };

/**
 * Runs `task` while `predicate` says yes to the newest value of `source`: it begins with the first value that matches,
 * goes on undisturbed through others that do, and its signal is aborted by one that does not. It begins again, with the
 * value of then, when one matches after that and it has settled: two runs never overlap, and a task that ignores its
 * signal is waited for. A task that has ended by itself does not begin again before a value did not match. Values that
 * were overwritten before they were seen do not count: yes, no, yes with the no overwritten is no change.
 *
 * Resolves when the source has ended and the task has too. Rejects with `signal.reason` on abort, and with the first
 * error of the source, the task or `predicate`: each of them aborts the task, is told when that has settled, and
 * leaves no watcher open. That a task which was aborted rejects with its signal's reason, or with an `AbortError`, is
 * no error.
 *
 * @param task - what it returns is awaited.
 * @throws {@link EventValueError} `EV_CLOSED` where the source had ended before the call.
 *
 * @example
 * ```ts
 * import { MemoryValue, runWhile } from "event-value";
 *
 * const leader = new MemoryValue({ initial: "a" });
 * const working = runWhile(
 *   leader,
 *   (name) => name === "me",
 *   async (_, { signal }) => {
 *     console.log("leading"); // leading
 *     await new Promise((stopped) => signal.addEventListener("abort", stopped));
 *     console.log("stepping down"); // stepping down
 *   },
 * );
 * for (const name of ["b", "me", "c"]) {
 *   leader.set(name);
 *   await new Promise(setImmediate);
 * }
 * leader.close();
 * await working;
 * ```
 */
export function runWhile<T, S extends T>(
  source: Watchable<T>,
  predicate: (value: T) => value is S,
  task: (value: S, context: RunWhileContext) => unknown,
  options?: RunWhileOptions,
): Promise<void>;
export function runWhile<T>(
  source: Watchable<T>,
  predicate: (value: T) => boolean,
  task: (value: T, context: RunWhileContext) => unknown,
  options?: RunWhileOptions,
): Promise<void>;
export function runWhile<T>(
  source: Watchable<T>,
  predicate: (value: T) => boolean,
  task: (value: T, context: RunWhileContext) => unknown,
  options?: RunWhileOptions,
): Promise<void> {
  checkWatchable(source, "runWhile()");
  checkFunction(predicate, "runWhile(): predicate");
  checkFunction(task, "runWhile(): task");
  checkOptions(options, runWhileOptions, "runWhile()");
  return runAlong(
    source,
    {
      select: predicate,
      equals: (did, does) => !did === !does,
      // Where nothing is to run, doing nothing is what follows the task.
      run: ({ value, part: matches }, signal) => (matches ? task(value, { signal }) : undefined),
    },
    options?.signal,
  );
}
