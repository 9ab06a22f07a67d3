import { isEventValueError } from "../errors.ts";
import { abortable, follow } from "../internal/abort.ts";
import { checkOptions, mustBe, type Known } from "../internal/arguments.ts";
import { quietlyUnless } from "../internal/quiet.ts";
import type { Sink, Watchable, Watcher } from "../watchable.ts";
import { checkWatchable } from "./derived.ts";

/** The part of a stream's writer that {@link pipeTo} uses. */
export interface SinkWriter<in T> {
  readonly ready: Promise<unknown>;
  readonly closed: Promise<unknown>;
  write(chunk: T): Promise<unknown>;
  releaseLock(): void;
}

/** What values can be piped to: a function, something with `set`, or something with `getWriter` (a `WritableStream`). */
export type PipeTarget<T> = ((value: T) => unknown) | Sink<T> | { getWriter(): SinkWriter<T> };

/** Options of {@link pipeTo}. */
export interface PipeToOptions {
  /** Aborting ends the pipe and rejects with `signal.reason`, also while the sink is busy. */
  readonly signal?: AbortSignal | undefined;
}

const pipeToOptions: Known = { signal: "AbortSignal" };

/**
 * Writes the values of `source` to `sink`, one at a time: while the sink is busy (its promise is pending, its stream
 * is full) values are conflated, and it gets the newest when it is ready.
 *
 * Resolves when the source has ended. Rejects with `signal.reason` on abort, and with the first error of the source or
 * the sink. A stream's writer is released in the end, the stream itself is neither closed nor aborted: it is not
 * the pipe's.
 *
 * @example
 * ```ts
 * import { MemoryValue, pipeTo } from "event-value";
 *
 * const from = new MemoryValue({ initial: 1 });
 * const seen: number[] = [];
 * const piping = pipeTo(from, (value) => seen.push(value));
 * from.close();
 * await piping;
 * console.log(seen); // [ 1 ]
 * ```
 */
export function pipeTo<T>(source: Watchable<T>, sink: PipeTarget<T>, options?: PipeToOptions): Promise<void> {
  checkWatchable(source, "pipeTo()");
  checkOptions(options, pipeToOptions, "pipeTo()");
  const pipe = new Pipe(source, open(sink));
  // A failed write is the caller's to handle; whatever else ended the pipe may go unnoticed.
  return quietlyUnless(() => pipe.sinkFailed, pipe.run(options?.signal));
}

/** A sink, opened. */
interface Opened<in T> {
  /** Resolves when it can take a value. */
  readonly ready?: () => Promise<unknown>;
  /** Rejects when the sink fails by itself. */
  readonly closed?: Promise<unknown>;
  write(value: T): unknown;
  release?(): void;
}

function open<T>(sink: PipeTarget<T>): Opened<T> {
  if (typeof sink === "function") return { write: (value) => sink(value) };
  const given = sink as Partial<Sink<T>> & { getWriter?(): SinkWriter<T> };
  if (typeof given?.getWriter === "function") {
    const writer = given.getWriter();
    return {
      closed: writer.closed,
      ready: () => writer.ready,
      write: (value) => writer.write(value),
      release: () => writer.releaseLock(),
    };
  }
  if (typeof given?.set === "function") return { write: (value) => given.set!(value) };
  throw mustBe("pipeTo(): sink", "a function, or have set() or getWriter()", sink);
}

class Pipe<T> {
  readonly #source: Watchable<T>;
  readonly #sink: Opened<T>;
  /** Aborted when the pipe is to end before its source does. */
  readonly #stop = new AbortController();
  sinkFailed = false;

  constructor(source: Watchable<T>, sink: Opened<T>) {
    this.#source = source;
    this.#sink = sink;
  }

  async run(signal: AbortSignal | undefined): Promise<void> {
    const stopped = this.#stop.signal;
    const following = follow(this.#stop, signal);
    this.#sink.closed?.catch((error: unknown) => {
      this.sinkFailed ||= !stopped.aborted;
      this.#stop.abort(error);
    });
    try {
      stopped.throwIfAborted();
      const watcher = this.#source.watch({ signal: stopped });
      try {
        await this.#move(watcher);
      } finally {
        watcher.close();
      }
    } finally {
      following.unlink();
      // Released, a writer's `closed` rejects: that is not a failure of the sink.
      this.#stop.abort();
      this.#sink.release?.();
    }
  }

  async #move(watcher: Watcher<T>): Promise<void> {
    for (;;) {
      if (this.#sink.ready !== undefined) await this.#used(this.#sink.ready);
      let value: T;
      try {
        value = await watcher.get();
      } catch (error) {
        if (!this.#stop.signal.aborted && isEventValueError(error, "EV_CLOSED")) return;
        throw error;
      }
      await this.#used(() => this.#sink.write(value));
    }
  }

  /** Uses the sink and waits for it, or for the pipe's end, after which it is not used any more. */
  async #used(use: () => unknown): Promise<void> {
    try {
      this.#stop.signal.throwIfAborted();
      await abortable(Promise.resolve(use()), this.#stop.signal);
    } catch (error) {
      this.sinkFailed ||= !this.#stop.signal.aborted;
      throw error;
    }
  }
}
