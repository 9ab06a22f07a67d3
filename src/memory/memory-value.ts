/**
 * A value in memory: a version counter, not queues.
 *
 * The value holds the newest datum and counts its sets; a watcher holds the count of the one it was given last.
 * Comparing the two tells all there is to know, so nothing is queued and nothing can grow, and watchers that do not
 * wait cost a `set` nothing: the value does not even know them.
 */
import { checkOptions, checkValue, type Known } from "../internal/arguments.ts";
import { checkWatchOptions, closed, ENDED, NOTHING, PullWatcher, WaitList } from "../internal/pull-watcher.ts";
import type { Value, Watcher, WatchOptions } from "../watchable.ts";

/**
 * A value in memory, set by anybody who holds it and watched by any number of consumers.
 *
 * `Unset` is what `current` is before the first set: `undefined`, or nothing where there is an initial value.
 *
 * @example
 * ```ts
 * import { MemoryValue } from "event-value";
 *
 * const temperature = new MemoryValue<number>();
 * using watcher = temperature.watch();
 * temperature.set(20);
 * temperature.set(21);
 * console.log(await watcher.get()); // 21
 * ```
 */
export interface MemoryValue<in out T, out Unset = undefined> extends Value<T> {
  /** The newest value, without watching. */
  readonly current: T | Unset;
  /** Whether there is a value. An initial one counts, also if it is `undefined`. */
  readonly isSet: boolean;
  /** How many watchers are open. */
  readonly watcherCount: number;
  /**
   * Sets the value, and wakes the watchers that wait for it; its cost is in proportion to their number. Setting an
   * equal value counts: `distinctUntilChanged` is there for who does not want that.
   *
   * @throws TypeError where `value` is a promise or other thenable.
   * @throws {@link EventValueError} `EV_CLOSED` once the value is closed.
   */
  set(value: T): void;
  /** Sets the value to what `change` makes of the current one, and returns it. Throws as `set`, and what `change` throws. */
  update(change: (current: T | Unset) => T): T;
  /**
   * Opens a watcher.
   *
   * @throws {@link EventValueError} `EV_CLOSED` once the value is closed.
   */
  watch(options?: WatchOptions): Watcher<T>;
  /**
   * Ends the value: watchers that lack the newest value are still given it, once; then their gets reject with
   * `EV_CLOSED` and their loops end. Closing again does nothing.
   */
  close(): void;
}

/**
 * Makes a {@link MemoryValue}: with an initial value, or unset. It is not made to be extended, as its two forms differ
 * in type: hold one instead.
 */
export interface MemoryValueConstructor {
  new <T>(options: { initial: T }): MemoryValue<T, never>;
  new <T>(options?: { initial: T }): MemoryValue<T>;
  readonly prototype: MemoryValue<unknown>;
}

/** What a watcher sees of its value. */
interface Source<out T> {
  readonly current: T | undefined;
  readonly version: number;
  readonly ended: boolean;
  readonly waiting: WaitList;
  watcherCount: number;
}

const initialOption: Known = { initial: "any" };

export const MemoryValue: MemoryValueConstructor = class MemoryValue<T> implements Value<T>, Source<T> {
  current: T | undefined = undefined;
  /** How often the value was set. */
  version = 0;
  ended = false;
  watcherCount = 0;
  readonly waiting: WaitList = new WaitList();

  constructor(options?: { initial: T }) {
    checkOptions(options, initialOption, "new MemoryValue()");
    if (options && "initial" in options) this.set(options.initial);
  }

  get isSet(): boolean {
    return this.version > 0;
  }

  set(value: T): void {
    checkValue(value);
    if (this.ended) throw closed();
    this.current = value;
    this.version++;
    this.waiting.wake();
  }

  update(change: (current: T | undefined) => T): T {
    if (this.ended) throw closed();
    const value = change(this.current);
    this.set(value);
    return value;
  }

  watch(options?: WatchOptions): Watcher<T> {
    checkWatchOptions(options);
    if (this.ended) throw closed();
    this.watcherCount++;
    const watcher = new MemoryWatcher(this);
    return watcher.closeOn(options?.signal);
  }

  close(): void {
    if (this.ended) return;
    this.ended = true;
    this.waiting.wake();
  }
};

class MemoryWatcher<T> extends PullWatcher<T> {
  /** Null once closed, so that a closed watcher keeps nothing alive. */
  declare private value: Source<T> | null;
  /** The version it was given last. */
  declare private seen: number;

  constructor(value: Source<T>) {
    super();
    this.value = value;
    this.seen = 0;
  }

  protected override get waiting(): WaitList {
    return this.value!.waiting;
  }

  protected override poll(): unknown {
    const value = this.value!;
    if (this.seen === value.version) return value.ended ? ENDED : NOTHING;
    this.seen = value.version;
    return value.current;
  }

  protected override detach(): void {
    this.value!.watcherCount--;
    this.value = null;
  }
}
