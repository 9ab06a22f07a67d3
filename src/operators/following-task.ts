/**
 * One task at a time that follows a value: the base of `runLatest` and `runWhile`.
 *
 * Values are taken from the watcher as they come, whatever the task does, and at most one is kept: the newest that the
 * task is to run with. Runs never overlap: a task whose value has changed is aborted, and the next run begins when it
 * has settled. Whatever ends all of it early goes through `#stop`; the first reason wins, and is told when the task has
 * settled.
 */
import { isEventValueError } from "../errors.ts";
import { follow, isAbort } from "../internal/abort.ts";
import { quietlyUnless } from "../internal/quiet.ts";
import type { Watchable, Watcher } from "../watchable.ts";

/** What is run, and when it is run anew. */
export interface Course<T, P> {
  /** The part of a value that decides whether it is another one. */
  readonly select: (value: T) => P;
  readonly equals: (previous: P, next: P) => boolean;
  /** The task. `previous` is the value of the run before. */
  readonly run: (next: Seen<T, P>, signal: AbortSignal, previous: T | undefined) => unknown;
}

/** A value, and its part. */
export interface Seen<out T, out P> {
  readonly value: T;
  readonly part: P;
}

/** Runs `course` along `source`, until that ends and the task has settled, or something fails, or the abort of `signal`. */
export function runAlong<T, P>(
  source: Watchable<T>,
  course: Course<T, P>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const task = new FollowingTask(course);
  // What the task failed with is the caller's to handle; whatever else ended it may go unnoticed.
  return quietlyUnless(() => task.hasFailed, task.follow(source, signal));
}

class FollowingTask<T, P> {
  /** Whether the task is why all ends. */
  hasFailed = false;
  readonly #course: Course<T, P>;
  /** Aborted when all is to end before the source does. */
  readonly #stop = new AbortController();
  /** What it was stopped by, where that is not the caller's signal. An abort cannot have `undefined` for its reason. */
  #failure: { readonly error: unknown } | undefined;
  /** What the newest run was given, which may have ended. */
  #last: Seen<T, P> | undefined;
  /** What the next run is to be given. While it is there, a task runs and was aborted. */
  #next: Seen<T, P> | undefined;
  /** Aborts the task that runs. */
  #running: AbortController | undefined;
  /** Resolves when no task runs any more. */
  #runs: Promise<void> = Promise.resolve();

  constructor(course: Course<T, P>) {
    this.#course = course;
  }

  async follow(source: Watchable<T>, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    const stopped = this.#stop.signal;
    const watcher = source.watch({ signal: stopped });
    const following = follow(this.#stop, signal);
    try {
      await this.#take(watcher);
    } catch (error) {
      this.#fail(error);
    }
    watcher.close();
    await this.#runs;
    following.unlink();
    if (this.#failure !== undefined) throw this.#failure.error;
    stopped.throwIfAborted();
  }

  /** Takes the values of `watcher` until it ends. */
  async #take(watcher: Watcher<T>): Promise<void> {
    const { select, equals } = this.#course;
    for (;;) {
      let value: T;
      try {
        value = await watcher.get();
      } catch (error) {
        if (!this.#stop.signal.aborted && isEventValueError(error, "EV_CLOSED")) return;
        throw error;
      }
      const part = select(value);
      // A task that was aborted is not taken back: it runs anew, also with a value that has become what it was.
      const aborted = this.#running?.signal.aborted === true;
      if (this.#last !== undefined && !aborted && equals(this.#last.part, part)) continue;
      this.#next = { value, part };
      if (this.#running === undefined) this.#runs = this.#run();
      else this.#running.abort();
    }
  }

  /** Runs the task with what is next, until nothing is. */
  async #run(): Promise<void> {
    while (this.#next !== undefined && !this.#stop.signal.aborted) {
      const previous = this.#last?.value;
      const next = (this.#last = this.#next);
      this.#next = undefined;
      const running = (this.#running = new AbortController());
      const { signal } = running;
      const following = follow(running, this.#stop.signal);
      try {
        await this.#course.run(next, signal, previous);
      } catch (error) {
        if (!signal.aborted || !isAbort(error, signal)) this.#fail(error, true);
      }
      following.unlink();
      this.#running = undefined;
    }
  }

  #fail(error: unknown, byTask = false): void {
    if (this.#stop.signal.aborted) return;
    this.hasFailed = byTask;
    this.#failure = { error };
    this.#stop.abort(error);
  }
}
