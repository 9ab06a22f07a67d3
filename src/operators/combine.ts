/**
 * Several watchables as one.
 *
 * A combined watcher pulls: while one of its gets is pending, a get is pending on each member's watcher, and none
 * otherwise. The first member to answer ends the round: the other gets are aborted, which costs them nothing, and
 * what some of them had been given already in the same moment is taken in too.
 */
import { isEventValueError } from "../errors.ts";
import { follow } from "../internal/abort.ts";
import { disposable } from "../internal/dispose.ts";
import { iterateGets } from "../internal/iterate.ts";
import { backlogDone, checkGetOptions, checkWatchOptions, concurrentGet, rejected, closed } from "../internal/pull-watcher.ts";
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
export function combine<const M extends readonly Watchable<unknown>[] | { readonly [name: string]: Watchable<unknown> }>(
  members: M,
): Watchable<Combined<M>> {
  const names = Array.isArray(members) ? undefined : Object.keys(members);
  const sources = Object.values(members) as Watchable<unknown>[];
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

/** Why the gets of a round are aborted; one for all, as making an error takes longer than the rest of a round. */
const enough: unique symbol = Symbol("another member has answered");

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

  static {
    disposable(CombinedWatcher.prototype);
  }

  constructor(watchers: readonly Watcher<unknown>[], assemble: (values: readonly unknown[]) => T, signal: AbortSignal | undefined) {
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
    if (this.#closed) return rejected(closed());
    if (options?.signal?.aborted === true) return rejected(options.signal.reason);
    const got = this.#next(options);
    got.catch(() => {});
    return got;
  }

  close(): void {
    this.#closed = true;
    for (const { watcher } of this.#members) watcher.close();
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    return iterateGets(this, this.#signal);
  }

  async #next(options: GetOptions<T> | undefined): Promise<T> {
    const { signal, filter, backlogOnly } = options ?? {};
    this.#pending = true;
    try {
      // What an earlier round left may be old by now; an ordinary round takes the newest anyway.
      await this.#round(signal, this.#changed || backlogOnly === true);
      for (;;) {
        if (this.#changed && this.#members.every((member) => member.isSet)) {
          this.#changed = false;
          const value = this.#assemble(this.#members.map((member) => member.value));
          if (filter === undefined || filter(value)) return value;
        }
        this.#throwFailure();
        if (this.#hasEnded()) this.close();
        if (this.#closed) throw closed();
        signal?.throwIfAborted();
        if (backlogOnly === true) throw backlogDone();
        await this.#round(signal, false);
      }
    } finally {
      this.#pending = false;
    }
  }

  /** One get of each member; over when one of them has answered, or, with `backlogOnly`, all have. */
  async #round(signal: AbortSignal | undefined, backlogOnly: boolean): Promise<void> {
    const round = new AbortController();
    const following = follow(round, signal);
    await Promise.all(
      this.#members.map(async (member) => {
        if (member.ended) return;
        try {
          member.value = await member.watcher.get({ signal: round.signal, backlogOnly });
          member.isSet = this.#changed = true;
        } catch (error) {
          if (round.signal.aborted && error === round.signal.reason) return;
          if (isEventValueError(error, "EV_BACKLOG_DONE")) return;
          if (isEventValueError(error, "EV_CLOSED")) member.ended = true;
          else this.#failure ??= { error };
        }
        if (!backlogOnly && this.#members.length > 1) round.abort(enough);
      }),
    );
    following.unlink();
  }

  #throwFailure(): void {
    if (this.#failure === undefined) return;
    const { error } = this.#failure;
    this.#failure = undefined;
    throw error;
  }

  #hasEnded(): boolean {
    return (
      this.#members.every((member) => member.ended) || this.#members.some((member) => member.ended && !member.isSet)
    );
  }
}
