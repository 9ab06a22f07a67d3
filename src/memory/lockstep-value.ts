/**
 * A value whose sets wait for its watchers.
 *
 * One value is *in delivery* at a time: from its turn until every watcher has returned it from a `get()`, or has
 * closed. The next set's turn comes when nobody lacks the value in delivery. Two counts say all:
 *
 * - `#owed`: watchers that were open at the turn and lack the value. At 0 its `set` resolves.
 * - `#lacking`: these, and those that were opened since the turn. At 0 the delivery is over.
 *
 * A watcher opened while nothing is in delivery begins with the current value but holds nothing up: if a set comes
 * before its first get, it begins with that.
 */
import { AbortEntry } from "../internal/abort.ts";
import { checkFunction, checkOptions, checkValue, type Known } from "../internal/arguments.ts";
import { checkWatchOptions, closed, ENDED, NOTHING, PullWatcher, WaitList } from "../internal/pull-watcher.ts";
import type { Value, Watcher, WatchOptions } from "../watchable.ts";

/** Options of {@link LockstepValue.set} and {@link LockstepValue.update}. */
export interface LockstepSetOptions {
  /**
   * Aborting rejects with `signal.reason`. A set whose turn has not come is then undone; one in delivery only stops
   * to be waited for: its value is still delivered, and the next set waits for that.
   */
  readonly signal?: AbortSignal | undefined;
}

/**
 * A value in memory whose `set` resolves when every watcher has it: each watcher sees every value, once, in order.
 *
 * One watcher that is open and does not get holds up all the others. Close watchers that are no longer used.
 *
 * @example
 * ```ts
 * import { LockstepValue } from "event-value";
 *
 * const step = new LockstepValue<number>();
 * const watcher = step.watch();
 * const delivered = step.set(1);
 * console.log(await watcher.get()); // 1
 * await delivered;
 * watcher.close();
 * ```
 */
export interface LockstepValue<in out T, out Unset = undefined> extends Value<T> {
  /** The newest value whose turn has come. */
  readonly current: T | Unset;
  /** Whether there is a value. An initial one counts, also if it is `undefined`. */
  readonly isSet: boolean;
  /** How many watchers are open. */
  readonly watcherCount: number;
  /**
   * Sets the value when its turn comes: sets queue in the order of the calls. Resolves when every watcher that was
   * open when its turn came has returned the value from a `get()` (a value that a filter skipped counts) or has
   * closed; at once when there are no watchers.
   *
   * @throws TypeError, at the call, where `value` is a promise or other thenable.
   * @throws {@link EventValueError} `EV_CLOSED`, as a rejection, where the value was closed before its turn.
   */
  set(value: T, options?: LockstepSetOptions): Promise<void>;
  /**
   * Sets the value to what `change` makes of the current one when its turn comes; resolves with it, when `set`
   * would. An exception of `change` rejects, and sets nothing.
   */
  update(change: (current: T | Unset) => T, options?: LockstepSetOptions): Promise<T>;
  /**
   * Opens a watcher. It begins with the value in delivery, where there is one, and misses none of the queued ones.
   *
   * @throws {@link EventValueError} `EV_CLOSED` once the value is closed.
   */
  watch(options?: WatchOptions): Watcher<T>;
  /**
   * Ends the value: what is in delivery is still delivered, what is queued rejects with `EV_CLOSED`. Closing again
   * does nothing.
   */
  close(): void;
}

/**
 * Makes a {@link LockstepValue}: with an initial value, or unset. It is not made to be extended, as its two forms
 * differ in type: hold one instead.
 */
export interface LockstepValueConstructor {
  new <T>(options: { initial: T }): LockstepValue<T, never>;
  new <T>(options?: { initial: T }): LockstepValue<T>;
  readonly prototype: LockstepValue<unknown>;
}

const initialOption: Known = { initial: "any" };
const setOptions: Known = { signal: "AbortSignal" };

/** What a watcher sees of its value. */
interface Source<T> {
  readonly current: T | undefined;
  readonly version: number;
  readonly ended: boolean;
  readonly waiting: WaitList;
  /** `watcher`, which lacked the value in delivery, has taken it or has closed. */
  taken(watcher: LockstepWatcher<T>): void;
  left(): void;
}

export const LockstepValue: LockstepValueConstructor = class LockstepValue<T> implements Value<T>, Source<T> {
  /** The value in delivery, or delivered last. */
  current: T | undefined = undefined;
  /** How many turns there were. */
  version = 0;
  ended = false;
  watcherCount = 0;
  readonly waiting: WaitList = new WaitList();
  #owed = 0;
  #lacking = 0;
  /** The set in delivery while its caller waits. */
  #delivery: Turn<T> | null = null;
  /** The same for a set whose turn came with its call: what resolves it. */
  #resolve: (() => void) | null = null;
  /** Sets whose turn has not come, in the order of the calls. A set, so that aborting one of many is cheap. */
  readonly #queue: Set<Turn<T>> = new Set();
  #advancing = false;

  constructor(options?: { initial: T }) {
    checkOptions(options, initialOption, "new LockstepValue()");
    if (options === undefined || !("initial" in options)) return;
    checkValue(options.initial);
    this.current = options.initial;
    this.version = 1;
  }

  get isSet(): boolean {
    return this.version > 0;
  }

  set(value: T, options?: LockstepSetOptions): Promise<void> {
    checkValue(value);
    checkOptions(options, setOptions, "set()");
    // Its turn has come: no place in the queue, and no promise that waits if all watchers do. 3 hops less of 5.
    if (options === undefined && this.#isFree) return this.#setNow(value);
    return this.#enqueue(() => value, options?.signal, false) as Promise<void>;
  }

  update(change: (current: T | undefined) => T, options?: LockstepSetOptions): Promise<T> {
    checkFunction(change, "update(): change");
    checkOptions(options, setOptions, "update()");
    return this.#enqueue(change, options?.signal, true) as Promise<T>;
  }

  watch(options?: WatchOptions): Watcher<T> {
    checkWatchOptions(options);
    if (this.ended) throw closed();
    this.watcherCount++;
    const inDelivery = this.#lacking > 0;
    if (inDelivery) this.#lacking++;
    const watcher = new LockstepWatcher(this, inDelivery ? "lacking" : "free");
    return options === undefined ? watcher : watcher.closeOn(options.signal);
  }

  close(): void {
    if (this.ended) return;
    this.ended = true;
    for (const turn of this.#queue) turn.fail(closed());
    this.waiting.wake();
  }

  taken(watcher: LockstepWatcher<T>): void {
    if (watcher.joined === this.version) {
      if (watcher.joinedAs === "free") return;
    } else if (--this.#owed === 0) this.#delivered();
    if (--this.#lacking === 0) this.#advance();
  }

  left(): void {
    this.watcherCount--;
  }

  /** Whether the turn of a set comes with its call: nothing is queued then. */
  get #isFree(): boolean {
    return this.#lacking === 0 && !this.#advancing && !this.ended;
  }

  #setNow(value: T): Promise<void> {
    // What filters set meanwhile has its turn afterwards.
    this.#advancing = true;
    this.#deliver(value);
    this.#advancing = false;
    if (this.#owed === 0) {
      this.#advance();
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  #enqueue(make: (current: T | undefined) => T, signal: AbortSignal | undefined, answers: boolean): Promise<T | void> {
    if (signal !== undefined && signal.aborted) return Promise.reject(signal.reason as Error);
    if (this.ended) return Promise.reject(closed());
    const turn = new Turn(make, answers, signal, this.#queue);
    this.#queue.add(turn);
    this.#advance();
    if (signal !== undefined && !turn.settled) {
      // Its turn may have come at once: then `make`, or the filter of a waiting get, may have aborted it.
      if (signal.aborted) turn.fail(signal.reason);
      else turn.await(signal);
    }
    return turn.promise;
  }

  /** Gives turns while nobody lacks anything. A loop and not a recursion: filters may skip any number of values. */
  #advance(): void {
    if (this.#advancing || this.#queue.size === 0) return;
    this.#advancing = true;
    for (const turn of this.#queue) {
      if (this.#lacking > 0) break;
      this.#queue.delete(turn);
      // The signal may be telling others first, whose closing makes this turn come.
      if (turn.signal?.aborted === true) turn.fail(turn.signal.reason);
      else this.#take(turn);
    }
    this.#advancing = false;
  }

  #take(turn: Turn<T>): void {
    let value: T;
    try {
      value = turn.make(this.current);
      checkValue(value);
      // `make` is the user's, and may have closed the value.
      if (this.ended) throw closed();
    } catch (error) {
      turn.fail(error);
      return;
    }
    this.#delivery = turn;
    this.#deliver(value);
  }

  #deliver(value: T): void {
    this.current = value;
    this.version++;
    this.#owed = this.#lacking = this.watcherCount;
    if (this.#owed === 0) this.#delivered();
    else this.waiting.wake();
  }

  #delivered(): void {
    this.#resolve?.();
    this.#resolve = null;
    this.#delivery?.succeed(this.current as T);
    this.#delivery = null;
  }
};

/** One call of `set` or `update`. */
class Turn<T> extends AbortEntry {
  readonly make: (current: T | undefined) => T;
  readonly signal: AbortSignal | undefined;
  /** Resolves with the value where the call is an `update`, which answers it. */
  readonly promise: Promise<T | void>;
  readonly #answers: boolean;
  settled = false;
  readonly #queue: Set<Turn<T>>;
  #resolve!: (value: T | void) => void;
  #reject!: (reason: unknown) => void;

  constructor(
    make: (current: T | undefined) => T,
    answers: boolean,
    signal: AbortSignal | undefined,
    queue: Set<Turn<T>>,
  ) {
    super((reason) => this.fail(reason));
    this.make = make;
    this.signal = signal;
    this.#answers = answers;
    this.#queue = queue;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  succeed(value: T): void {
    this.#end();
    this.#resolve(this.#answers ? value : undefined);
  }

  fail(reason: unknown): void {
    this.#end();
    this.#reject(reason);
  }

  #end(): void {
    this.settled = true;
    this.unlink();
    this.#queue.delete(this);
  }
}

class LockstepWatcher<T> extends PullWatcher<T> {
  /** Null once closed, so that a closed watcher keeps nothing alive. */
  #value: Source<T> | null;
  #seen = 0;
  /** The version at which it was opened, and whether that version's delivery waits for it. */
  readonly joined: number;
  readonly joinedAs: "free" | "lacking";

  constructor(value: Source<T>, joinedAs: "free" | "lacking") {
    super();
    this.#value = value;
    this.joined = value.version;
    this.joinedAs = joinedAs;
  }

  protected override get waiting(): WaitList {
    return this.#value!.waiting;
  }

  protected override poll(): unknown {
    const value = this.#value!;
    if (this.#seen === value.version) return value.ended ? ENDED : NOTHING;
    const { current } = value;
    this.#seen = value.version;
    value.taken(this);
    return current;
  }

  protected override detach(): void {
    const value = this.#value!;
    this.#value = null;
    value.left();
    if (this.#seen !== value.version) value.taken(this);
  }
}
