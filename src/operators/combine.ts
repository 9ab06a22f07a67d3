/**
 * Several watchables as one.
 *
 * A combined watcher pulls: while one of its gets is pending, a get is pending on each member's watcher, and none
 * otherwise. What members deliver is put together inside the filters of these gets, in the very moment in which it is
 * set: an abort that comes after that is too late, as it has to be. When there is something to deliver the other gets
 * are aborted, which costs them nothing.
 */
import { isEventValueError } from "../errors.ts";
import { follow } from "../internal/abort.ts";
import { disposable } from "../internal/dispose.ts";
import { iterateGets } from "../internal/iterate.ts";
import {
  backlogDone,
  checkGetOptions,
  checkWatchOptions,
  concurrentGet,
  rejected,
  closed,
} from "../internal/pull-watcher.ts";
import type { GetOptions, Watchable, Watcher, WatchOptions } from "../watchable.ts";
import { checkWatchable } from "./derived.ts";

/** The newest values of watchables, member by member. */
export type Combined<M> = { -readonly [K in keyof M]: M[K] extends Watchable<infer T> ? T : never };

/**
 * The newest values of all `members`, an object or a tuple of watchables: one value as soon as each member has one,
 * and another whenever some of them changed. It ends when all members have ended, or one without ever having had a
 * value.
 *
 * An error of a member's `get()` rejects the combined one; the watcher stays usable.
 *
 * @example
 * ```ts
 * import { combine, MemoryValue } from "event-value";
 *
 * const host = new MemoryValue({ initial: "db1" });
 * const port = new MemoryValue({ initial: 5432 });
 * using watcher = combine({ host, port }).watch();
 * port.set(5433);
 * console.log(await watcher.get()); // { host: 'db1', port: 5433 }
 * ```
 */
export function combine<
  const M extends readonly Watchable<unknown>[] | { readonly [name: string]: Watchable<unknown> },
>(members: M): Watchable<Combined<M>> {
  const names = Array.isArray(members) ? undefined : Object.keys(members);
  const sources = Object.values<Watchable<unknown>>(members as Record<string, Watchable<unknown>>);
  for (const source of sources) checkWatchable(source, "combine()");
  const assemble = (values: readonly unknown[]): Combined<M> =>
    (names === undefined ? [...values] : Object.fromEntries(names.map((name, i) => [name, values[i]]))) as Combined<M>;
  return {
    watch(options?: WatchOptions): Watcher<Combined<M>> {
      checkWatchOptions(options);
      return new CombinedWatcher(openAll(sources, options), assemble, options?.signal);
    },
  };
}

function openAll(sources: readonly Watchable<unknown>[], options: WatchOptions | undefined): Watcher<unknown>[] {
  const watchers: Watcher<unknown>[] = [];
  try {
    for (const source of sources) watchers.push(source.watch(options));
  } catch (error) {
    for (const watcher of watchers) watcher.close();
    throw error;
  }
  return watchers;
}

/** Why the gets of members are aborted; one for all, as making an error takes longer than all the rest. */
const enough: unique symbol = Symbol("there is something to deliver");

interface Member {
  readonly watcher: Watcher<unknown>;
  value: unknown;
  isSet: boolean;
  ended: boolean;
}

class CombinedWatcher<T> implements Watcher<T> {
  declare [Symbol.dispose]: () => void;
  readonly #members: readonly Member[];
  readonly #assemble: (values: readonly unknown[]) => T;
  readonly #signal: AbortSignal | undefined;
  /** Whether some member has a value that was not delivered as part of a combined one. */
  #changed: boolean;
  /** What a member's get rejected with, until a combined get has. */
  #failure: { readonly error: unknown } | undefined;
  #pending = false;
  #closed = false;
  /** Whether the signal given to `watch()` had been aborted when it was closed. */
  #aborted = false;

  static {
    disposable(CombinedWatcher.prototype);
  }

  constructor(
    watchers: readonly Watcher<unknown>[],
    assemble: (values: readonly unknown[]) => T,
    signal: AbortSignal | undefined,
  ) {
    this.#members = watchers.map((watcher) => ({ watcher, value: undefined, isSet: false, ended: false }));
    this.#assemble = assemble;
    this.#signal = signal;
    this.#changed = watchers.length === 0;
  }

  get<S extends T>(options: GetOptions<T> & { filter: (value: T) => value is S }): Promise<S>;
  get(options?: GetOptions<T>): Promise<T>;
  get(options?: GetOptions<T>): Promise<T> {
    checkGetOptions(options);
    if (this.#pending) return rejected(concurrentGet());
    if (this.#signal?.aborted) this.close();
    if (this.#closed) return rejected(this.#aborted ? this.#signal?.reason : closed());
    if (options?.signal?.aborted) return rejected(options.signal.reason);
    const got = this.#next(options);
    got.catch(() => {});
    return got;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#aborted = this.#signal?.aborted === true;
    for (const { watcher } of this.#members) watcher.close();
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    return iterateGets(this, this.#signal);
  }

  async #next(options: GetOptions<T> = {}): Promise<T> {
    this.#pending = true;
    try {
      // An error does not wait for as long as there are values.
      this.#throwFailure();
      const found = await this.#ask(options);
      if (found !== undefined) return found.value;
      this.#throwFailure();
      if (this.#hasEnded()) this.close();
      if (this.#closed) throw this.#aborted ? this.#signal?.reason : closed();
      options.signal?.throwIfAborted();
      throw backlogDone();
    } finally {
      this.#pending = false;
    }
  }

  /**
   * Gets from all members until there is something to deliver, or, with `backlogOnly`, what they have. Resolves, with
   * nothing if there is nothing, when no get of a member is pending any more.
   */
  #ask({ signal, filter, backlogOnly }: GetOptions<T>): Promise<{ value: T } | undefined> {
    return new Promise((resolve, reject) => {
      const asking = new AbortController();
      const following = follow(asking, signal);
      let found: { value: T } | undefined;
      let open = 1;
      /** Until all members were asked, when it is known what they have. */
      let starting = true;
      let taking = false;
      /** Puts together what there is. A filter may set members: that is taken in when it has returned. */
      const take = (): void => {
        if (taking) return;
        taking = true;
        try {
          while (this.#isComplete()) {
            this.#changed = false;
            const value = this.#assemble(this.#members.map((member) => member.value));
            if (filter === undefined || filter(value)) found = { value };
            else if (found !== undefined) {
              // Refused, or thrown at, after another one was accepted: that is the next get's.
              this.#changed = true;
              break;
            }
          }
        } catch (error) {
          if (found === undefined) throw error;
          this.#changed = true;
        } finally {
          taking = false;
        }
      };
      const answered = (): void => {
        const over = found !== undefined || this.#failure !== undefined || this.#hasEnded();
        if (over && !asking.signal.aborted) asking.abort(enough);
        if (--open > 0) return;
        following.unlink();
        try {
          // What an earlier get left, with what is there by now.
          if (found === undefined && this.#failure === undefined) take();
          resolve(found);
        } catch (error) {
          reject(error);
        }
      };
      const ask = (member: Member): void => {
        open++;
        const record = (value: unknown): boolean => {
          member.value = value;
          member.isSet = this.#changed = true;
          if (backlogOnly || starting) return false;
          take();
          return found !== undefined;
        };
        member.watcher.get({ signal: asking.signal, backlogOnly, filter: record }).then(answered, (error: unknown) => {
          if (isEventValueError(error, "EV_CLOSED")) member.ended = true;
          else if (error !== asking.signal.reason && !isEventValueError(error, "EV_BACKLOG_DONE")) {
            this.#failure ??= { error };
          }
          answered();
        });
      };
      for (const member of this.#members) if (!member.ended) ask(member);
      starting = false;
      // What the members have, and what an earlier get left.
      try {
        if (!backlogOnly) take();
      } catch (error) {
        this.#failure ??= { error };
      }
      answered();
    });
  }

  #throwFailure(): void {
    if (this.#failure === undefined) return;
    const { error } = this.#failure;
    this.#failure = undefined;
    throw error;
  }

  /** Whether every member has a value, and some a new one. */
  #isComplete(): boolean {
    return this.#changed && this.#members.every((member) => member.isSet);
  }

  #hasEnded(): boolean {
    return (
      this.#members.every((member) => member.ended) || this.#members.some((member) => member.ended && !member.isSet)
    );
  }
}
