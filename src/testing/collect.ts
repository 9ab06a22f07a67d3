import { isEventValueError } from "../errors.ts";
import { abortable } from "../internal/abort.ts";
import { checkFunction, checkOptions, type Known } from "../internal/arguments.ts";
import { disposable } from "../internal/dispose.ts";
import { macrotask } from "../internal/macrotask.ts";
import type { Batch, ReadableKeyRange } from "../keyspace.ts";
import { checkWatchable } from "../operators/derived.ts";
import type { Watchable } from "../watchable.ts";

/** Options of {@link Collected.until}. */
export interface UntilOptions {
  readonly signal?: AbortSignal | undefined;
  /** After so long it rejects, and says what was delivered. @defaultValue 5000 */
  readonly timeoutMs?: number | undefined;
}

/** What a watcher was delivered. */
export interface Collected<out T> extends Disposable {
  /** Everything, in order. Errors are not among it. */
  readonly values: readonly T[];
  /** What its gets rejected with, in order, but for what ended it. */
  readonly errors: readonly unknown[];
  /** Whether nothing more will come: it was closed, or what it watches has ended. */
  readonly ended: boolean;
  /**
   * Resolves with all values as soon as they satisfy `condition`.
   *
   * @throws where the end came first, or the time is over: an `Error` that tells what was delivered
   */
  until(condition: (values: readonly T[]) => boolean, options?: UntilOptions): Promise<readonly T[]>;
  /** Closes the watcher. */
  close(): void;
}

/** Opens a watcher and takes all that it is delivered, as fast as it comes, until it is closed. */
export function collect<T>(watchable: Watchable<T>): Collected<T> {
  checkWatchable(watchable, "collect()");
  const watcher = watchable.watch();
  return new Collector(
    () => watcher.get(),
    () => watcher.close(),
  );
}

/** As {@link collect}, of the batches of a range. */
export function collectBatches<T>(range: ReadableKeyRange<T>): Collected<Batch<T>> {
  checkWatchable(range, "collectBatches()");
  const watcher = range.watch();
  return new Collector(
    () => watcher.getBatch(),
    () => watcher.close(),
  );
}

const untilOptions: Known = { signal: "AbortSignal", timeoutMs: "number" };

class Collector<T> implements Collected<T> {
  declare [Symbol.dispose]: () => void;
  readonly values: T[] = [];
  readonly errors: unknown[] = [];
  ended = false;
  readonly #close: () => void;
  /** Those who wait: told of everything that happens. */
  readonly #waiting = new Set<() => void>();

  static {
    disposable(Collector.prototype);
  }

  constructor(next: () => Promise<T>, close: () => void) {
    this.#close = close;
    void this.#run(next);
  }

  close(): void {
    this.#close();
  }

  async until(condition: (values: readonly T[]) => boolean, options: UntilOptions = {}): Promise<readonly T[]> {
    checkFunction(condition, "until(): condition");
    checkOptions(options, untilOptions, "until()");
    const { signal, timeoutMs = 5000 } = options;
    let look = (): void => {};
    let timer: ReturnType<typeof setTimeout> | undefined;
    const held = new Promise<readonly T[]>((resolve, reject) => {
      look = () => {
        try {
          if (condition(this.values)) resolve([...this.values]);
          else if (this.ended) reject(new Error(`it has ended, and ${this.#told()}`));
        } catch (error) {
          reject(error);
        }
      };
      timer = setTimeout(() => reject(new Error(`within ${timeoutMs} ms ${this.#told()}`)), timeoutMs);
    });
    this.#waiting.add(look);
    try {
      look();
      return await abortable(held, signal);
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(look);
    }
  }

  async #run(next: () => Promise<T>): Promise<void> {
    while (!this.ended) {
      try {
        this.values.push(await next());
      } catch (error) {
        // A watcher that its own signal has closed says the same at once, again and again.
        if (isEventValueError(error, "EV_CLOSED") || error === this.errors.at(-1)) this.ended = true;
        else this.errors.push(error);
        await new Promise<void>(macrotask);
      }
      for (const look of this.#waiting) look();
    }
  }

  #told(): string {
    const { errors, values } = this;
    const failed = errors.length === 0 ? "" : `, and errors: ${errors.map(String).join("; ")}`;
    return `it was delivered ${values.length} values: ${shown(values)}${failed}`;
  }
}

/** The last few of them. */
function shown(values: readonly unknown[]): string {
  const last = values.slice(-10).map((value) => {
    try {
      return JSON.stringify(value) ?? String(value);
    } catch {
      return String(value);
    }
  });
  return `${values.length > last.length ? "… " : ""}${last.join(", ")}`;
}
