/**
 * What values and watchers have to do, said naively, and a driver that does the same to real ones.
 *
 * Said naively, each watcher has a log of what it has not been given yet. Where values conflate, a set replaces each
 * log; in lockstep it is added to each, and the next one waits until all are empty. After each step whatever can be
 * handed over is handed over. All that was promised to somebody is a {@link Promised}, and what became of it is
 * compared with what became of the real promise.
 */
import { inspect, isDeepStrictEqual } from "node:util";
import * as fc from "fast-check";
import type { ErrorCode, GetOptions, LockstepValue, MemoryValue, Watchable, Watcher } from "../../src/index.ts";
import { isEventValueError } from "../../src/index.ts";
import type { Core } from "../support/compiled.ts";
import { microtasks, type Outcome, observe, turn } from "../support/promises.ts";

/** What is driven: a value, or the last of a chain of operators on one. */
export type Kind = "MemoryValue" | "LockstepValue" | "operators on a MemoryValue";

/** A filter: accepts everything, even numbers or nothing, or throws at every third number. */
export type FilterKind = "all" | "even" | "none" | "throws";

/** One step of a run. Watchers and signals are meant modulo their number; without any watcher its steps do nothing. */
export type Step =
  /** Sets the next number, or the last one again; in lockstep with a signal of the sets' pool where one is given. */
  | { readonly do: "set"; readonly signal: number | undefined; readonly again: boolean }
  | { readonly do: "update"; readonly signal: number | undefined; readonly throws: boolean }
  | { readonly do: "watch"; readonly signal: "none" | "later" | "aborted" }
  | {
      readonly do: "get";
      readonly watcher: number;
      readonly signal: number | undefined;
      readonly filter: FilterKind | undefined;
      readonly backlogOnly: boolean;
    }
  | { readonly do: "next" | "return" | "close" | "abort watch"; readonly watcher: number }
  /** Aborts a signal; `keep` leaves it in the pool, for calls with an aborted signal. */
  | { readonly do: "abort get" | "abort set"; readonly signal: number; readonly keep: boolean }
  | { readonly do: "end" }
  /** Lets a few microtasks pass; none: all of them, so that all that had to be settled must be. */
  | { readonly do: "yield"; readonly microtasks: number };

/** Something that became other than it had to. */
class Difference extends Error {}

/** What has to become of a promise. An error of the library is known by its code, any other by itself. */
type Fate = Outcome | { readonly state: "rejected"; readonly code: ErrorCode };

class Promised {
  fate: Fate = { state: "pending" };
  fulfil(value: unknown): void {
    if (this.fate.state === "pending") this.fate = { state: "fulfilled", value };
  }
  reject(reason: unknown): void {
    if (this.fate.state === "pending") this.fate = { state: "rejected", reason };
  }
  fail(code: ErrorCode): void {
    if (this.fate.state === "pending") this.fate = { state: "rejected", code };
  }
}

interface Ask {
  readonly promised: Promised;
  readonly iterating: boolean;
  readonly signal: AbortSignal | undefined;
  readonly filter: (value: number) => boolean;
}

class ModelWatcher {
  log: number[] = [];
  /** Holds up nothing in lockstep: it was opened while nothing was in delivery, and has not been given anything. */
  free = false;
  ask: Ask | undefined;
  /** Why it is closed; without a reason, gets fail with EV_CLOSED. */
  over: { readonly reason?: unknown } | undefined;
  /** What the operators let through last. */
  previous: number | undefined;
}

interface Turn {
  readonly promised: Promised;
  readonly signal: AbortSignal | undefined;
  readonly make: (current: number | undefined) => number;
  readonly answers: boolean;
}

class Model {
  readonly kind: Kind;
  readonly open: Set<ModelWatcher> = new Set();
  readonly queue: Set<Turn> = new Set();
  /** The set in delivery, and the watchers that were open at its turn and lack its value. */
  delivery: { readonly turn: Turn; readonly owed: Set<ModelWatcher> } | undefined;
  current: number | undefined;
  ended = false;

  constructor(kind: Kind) {
    this.kind = kind;
  }

  get lockstep(): boolean {
    return this.kind === "LockstepValue";
  }

  watch(): ModelWatcher {
    const watcher = new ModelWatcher();
    if (this.current !== undefined) watcher.log = [this.current];
    watcher.free = !this.#someoneLacks();
    this.open.add(watcher);
    return watcher;
  }

  set(value: number): void {
    this.current = value;
    for (const watcher of this.open) watcher.log = [value];
    this.settle();
  }

  enqueue(turn: Turn): void {
    if (turn.signal?.aborted === true) turn.promised.reject(turn.signal.reason);
    else if (this.ended) turn.promised.fail("EV_CLOSED");
    else this.queue.add(turn);
    this.settle();
  }

  ask(watcher: ModelWatcher, ask: Ask, backlogOnly: boolean): void {
    const { promised, signal } = ask;
    if (watcher.ask !== undefined) return promised.fail("EV_CONCURRENT_GET");
    if (watcher.over !== undefined) return giveOver(watcher, ask);
    if (signal?.aborted === true) return promised.reject(signal.reason);
    watcher.ask = ask;
    this.settle();
    if (!backlogOnly || watcher.ask === undefined) return;
    watcher.ask = undefined;
    promised.fail("EV_BACKLOG_DONE");
  }

  close(watcher: ModelWatcher, over: { readonly reason?: unknown }): void {
    if (watcher.over !== undefined) return;
    watcher.over = over;
    this.open.delete(watcher);
    if (watcher.ask !== undefined) giveOver(watcher, watcher.ask);
    watcher.ask = undefined;
    this.#handed(watcher);
    this.settle();
  }

  abort(signal: AbortSignal): void {
    for (const watcher of this.open) {
      if (watcher.ask === undefined || watcher.ask.signal !== signal) continue;
      watcher.ask.promised.reject(signal.reason);
      watcher.ask = undefined;
    }
    for (const turn of this.queue) {
      if (turn.signal !== signal) continue;
      turn.promised.reject(signal.reason);
      this.queue.delete(turn);
    }
    if (this.delivery?.turn.signal === signal) this.delivery.turn.promised.reject(signal.reason);
    this.settle();
  }

  end(): void {
    this.ended = true;
    for (const turn of this.queue) turn.promised.fail("EV_CLOSED");
    this.queue.clear();
    this.settle();
  }

  /** Hands over whatever can be handed over. */
  settle(): void {
    for (let busy = true; busy;) {
      busy = this.#takeTurn();
      for (const watcher of this.open) busy = this.#give(watcher) || busy;
    }
  }

  #someoneLacks(): boolean {
    return [...this.open].some((watcher) => watcher.log.length > 0 && !watcher.free);
  }

  #takeTurn(): boolean {
    const [turn] = this.queue;
    if (turn === undefined || this.#someoneLacks()) return false;
    this.queue.delete(turn);
    try {
      this.current = turn.make(this.current);
    } catch (error) {
      turn.promised.reject(error);
      return true;
    }
    for (const watcher of this.open) {
      watcher.log = [this.current];
      watcher.free = false;
    }
    this.delivery = { turn, owed: new Set(this.open) };
    this.#handed(undefined);
    return true;
  }

  #give(watcher: ModelWatcher): boolean {
    const { ask } = watcher;
    if (ask === undefined) return false;
    const value = watcher.log.shift();
    if (value === undefined) {
      if (this.ended) this.close(watcher, {});
      return this.ended;
    }
    watcher.free = false;
    this.#handed(watcher);
    try {
      const result = this.#operate(watcher, value);
      if (result === undefined || !ask.filter(result)) return true;
      ask.promised.fulfil(ask.iterating ? { done: false, value: result } : result);
    } catch (error) {
      ask.promised.reject(error);
    }
    watcher.ask = undefined;
    return true;
  }

  /** A map to the tens, and of equal ones in a row only the first. */
  #operate(watcher: ModelWatcher, value: number): number | undefined {
    if (this.kind !== "operators on a MemoryValue") return value;
    const result = toTens(value);
    if (result === watcher.previous) return undefined;
    watcher.previous = result;
    return result;
  }

  #handed(watcher: ModelWatcher | undefined): void {
    if (this.delivery === undefined) return;
    if (watcher !== undefined) this.delivery.owed.delete(watcher);
    if (this.delivery.owed.size > 0) return;
    const { promised, answers } = this.delivery.turn;
    promised.fulfil(answers ? this.current : undefined);
    this.delivery = undefined;
  }
}

function giveOver(watcher: ModelWatcher, { promised, iterating }: Ask): void {
  const over = watcher.over!;
  if ("reason" in over) promised.reject(over.reason);
  else if (iterating) promised.fulfil({ done: true, value: undefined });
  else promised.fail("EV_CLOSED");
}

const toTens = (value: number): number => value - (value % 10);

/** One for each number, so that the errors of the model and of the real thing are the same. */
const errors = new Map<number, Error>();

function fail(value: number): never {
  if (!errors.has(value)) errors.set(value, new Error(`thrown at ${value}`));
  throw errors.get(value)!;
}

const filters: Record<FilterKind, (value: number) => boolean> = {
  all: () => true,
  even: (value) => value % 2 === 0,
  none: () => false,
  throws: (value) => (value % 3 === 0 ? fail(value) : true),
};

/** A real watcher and what it should be like. */
interface Pair {
  readonly real: Watcher<number>;
  readonly model: ModelWatcher;
  readonly iterator: AsyncIterator<number>;
  /** Of the signal given to `watch()`, where one was. */
  readonly controller: AbortController | undefined;
}

const pool = (): AbortController[] => [new AbortController(), new AbortController()];

/** The steps done to a real value and to the model of one. */
class Run {
  readonly #value: MemoryValue<number> | LockstepValue<number>;
  readonly #watchable: Watchable<number>;
  readonly #model: Model;
  readonly #pairs: Pair[] = [];
  readonly #signals = { get: pool(), set: pool() };
  readonly #promises: { readonly of: string; readonly real: () => Outcome; readonly promised: Promised }[] = [];
  #last = 0;
  #asked = 0;

  constructor(core: Core, kind: Kind) {
    this.#model = new Model(kind);
    const value = kind === "LockstepValue" ? new core.LockstepValue<number>() : new core.MemoryValue<number>();
    this.#value = value;
    this.#watchable =
      kind === "operators on a MemoryValue" ? core.distinctUntilChanged(core.map(value, toTens)) : value;
  }

  /** Ends what is left of the run, and with it what it would still take of the event loop's turns. */
  close(): void {
    for (const { real } of this.#pairs) real.close();
  }

  do(step: Step, at: number): void {
    const of = `step ${at}, ${step.do}`;
    switch (step.do) {
      case "set": {
        const to = step.again ? this.#last : ++this.#last;
        this.#set(of, step.signal, false, () => to);
        break;
      }
      case "update": {
        const by = ++this.#last;
        this.#set(of, step.signal, true, (current) => (step.throws ? fail(by) : by * 100 + ((current ?? 0) % 100)));
        break;
      }
      case "watch":
        this.#watch(step.signal);
        break;
      case "end":
        this.#value.close();
        this.#model.end();
        break;
      case "abort get":
      case "abort set": {
        const signals = step.do === "abort get" ? this.#signals.get : this.#signals.set;
        const controller = signals[step.signal % signals.length]!;
        if (controller.signal.aborted) break;
        controller.abort({ aborted: at });
        this.#model.abort(controller.signal);
        if (!step.keep) signals[step.signal % signals.length] = new AbortController();
        break;
      }
      case "yield":
        break;
      default:
        if (this.#pairs.length > 0) this.#ask(of, step, this.#pairs[step.watcher % this.#pairs.length]!);
    }
  }

  /** All that is settled must be settled as it had to be; `all` that had to be must be settled. */
  check(all: boolean): void {
    for (const { of, real, promised } of this.#promises) {
      const outcome = real();
      if (!all && outcome.state === "pending") continue;
      if (!isAsFated(outcome, promised.fate)) throw difference(`the promise of ${of}`, outcome, promised.fate);
    }
  }

  #watch(signal: "none" | "later" | "aborted"): void {
    const controller = signal === "none" ? undefined : new AbortController();
    if (signal === "aborted") controller!.abort({ aborted: "before" });
    let real: Watcher<number>;
    try {
      real = this.#watchable.watch(controller === undefined ? undefined : { signal: controller.signal });
    } catch (error) {
      if (this.#model.ended && isEventValueError(error, "EV_CLOSED")) return;
      throw error;
    }
    if (this.#model.ended) throw new Difference("watch() did not throw");
    const model = this.#model.watch();
    if (signal === "aborted") this.#model.close(model, { reason: controller!.signal.reason as unknown });
    this.#pairs.push({ real, model, iterator: real[Symbol.asyncIterator](), controller });
  }

  #set(of: string, signal: number | undefined, answers: boolean, make: (current: number | undefined) => number): void {
    const promised = new Promised();
    if (this.#model.lockstep) {
      const value = this.#value as LockstepValue<number>;
      const pool = this.#signals.set;
      const options = signal === undefined ? undefined : { signal: pool[signal % pool.length]!.signal };
      const real = answers ? value.update(make, options) : value.set(make(undefined), options);
      this.#promises.push({ of, real: observe(real), promised });
      this.#model.enqueue({ promised, signal: options?.signal, make, answers });
      return;
    }
    const value = this.#value as MemoryValue<number>;
    const real = observe(
      (async () => {
        if (answers) return value.update(make);
        value.set(make(undefined));
        return undefined;
      })(),
    );
    this.#promises.push({ of, real, promised });
    try {
      if (this.#model.ended) return promised.fail("EV_CLOSED");
      const to = make(this.#model.current);
      this.#model.set(to);
      promised.fulfil(answers ? to : undefined);
    } catch (error) {
      promised.reject(error);
    }
  }

  #ask(
    of: string,
    step: Extract<Step, { readonly watcher: number }>,
    { real, model, iterator, controller }: Pair,
  ): void {
    const promised = new Promised();
    const watch = (promise: Promise<unknown>): void =>
      void this.#promises.push({ of, real: observe(promise), promised });
    switch (step.do) {
      case "get": {
        const options: GetOptions<number> = {};
        const { get } = this.#signals;
        if (step.signal !== undefined) options.signal = get[step.signal % get.length]!.signal;
        if (step.filter !== undefined) options.filter = this.#bounded(filters[step.filter]);
        if (step.backlogOnly) options.backlogOnly = true;
        watch(real.get(Object.keys(options).length === 0 ? undefined : options));
        const filter = filters[step.filter ?? "all"];
        this.#model.ask(model, { promised, iterating: false, signal: options.signal, filter }, step.backlogOnly);
        break;
      }
      case "next":
        watch(iterator.next());
        this.#model.ask(model, { promised, iterating: true, signal: undefined, filter: filters.all }, false);
        break;
      case "return":
        watch(iterator.return!());
        this.#model.close(model, {});
        promised.fulfil({ done: true, value: undefined });
        break;
      case "close":
        real.close();
        this.#model.close(model, {});
        break;
      case "abort watch": {
        if (controller === undefined || controller.signal.aborted) break;
        controller.abort({ aborted: of });
        this.#model.close(model, { reason: controller.signal.reason as unknown });
        break;
      }
      default:
        step satisfies never;
    }
  }

  /** A filter that is asked again and again never lets go of the thread, so no timeout would end that. */
  #bounded(filter: (value: number) => boolean): (value: number) => boolean {
    return (value) => {
      if (++this.#asked > 10_000) throw new Difference("a filter is asked without end");
      return filter(value);
    };
  }

  checkState(of: string): void {
    const { current, isSet, watcherCount } = this.#value;
    const model = this.#model;
    const real = [current, isSet, watcherCount];
    const expected = [model.current, model.current !== undefined, model.open.size];
    if (real.some((value, i) => value !== expected[i])) {
      throw difference(`after ${of}: current, isSet and watcherCount`, real, expected);
    }
  }
}

function isAsFated(outcome: Outcome, fate: Fate): boolean {
  if (outcome.state === "rejected" && fate.state === "rejected") {
    return "code" in fate ? isEventValueError(outcome.reason, fate.code) : outcome.reason === fate.reason;
  }
  return isDeepStrictEqual(outcome, fate);
}

function difference(what: string, real: unknown, expected: unknown): Difference {
  return new Difference(`${what}: is ${inspect(real)}, has to be ${inspect(expected)}`);
}

/** Does `steps` to a value of `core`; throws a {@link Difference} where that is not what it has to be. */
export async function drive(core: Core, kind: Kind, steps: readonly Step[]): Promise<void> {
  const run = new Run(core, kind);
  for (const [at, step] of steps.entries()) {
    run.do(step, at);
    run.checkState(step.do);
    if (step.do !== "yield") continue;
    if (step.microtasks === 0) await turn();
    else await microtasks(step.microtasks);
    run.check(step.microtasks === 0);
  }
  await turn();
  run.check(true);
}

/**
 * The same for a core that puts deliveries off, and so may let the event loop turn many times after each step.
 *
 * How many values in lockstep a filter refuses before nothing is pending depends then on how soon the other watchers
 * take them, so gets with `backlogOnly` have no filter here.
 */
export async function drivePatiently(core: Core, kind: Kind, steps: readonly Step[]): Promise<void> {
  const run = new Run(core, kind);
  try {
    for (const [at, given] of steps.entries()) {
      const step = given.do === "get" && given.backlogOnly ? { ...given, filter: undefined } : given;
      run.do(step, at);
      for (let left = 100, done = false; !done; left--) {
        await turn();
        try {
          run.checkState(step.do);
          run.check(true);
          done = true;
        } catch (error) {
          if (left === 0) throw error;
        }
      }
    }
  } finally {
    run.close();
  }
}

const index = fc.nat(5);
const maybeSignal = fc.option(fc.nat(1), { nil: undefined, freq: 2 });

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({ do: fc.constant("set"), signal: maybeSignal, again: fc.constantFrom(false, false, true) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("update"), signal: maybeSignal, throws: fc.boolean() }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant("watch"), signal: fc.constantFrom("none", "later", "later", "aborted") }),
  },
  {
    weight: 16,
    arbitrary: fc.record({
      do: fc.constant("get"),
      watcher: index,
      signal: maybeSignal,
      filter: fc.constantFrom(undefined, undefined, "all", "even", "none", "throws"),
      backlogOnly: fc.constantFrom(false, false, true),
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("next"), watcher: index }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom("return", "close", "abort watch"), watcher: index }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom("abort get", "abort get", "abort set"),
      signal: fc.nat(1),
      keep: fc.constantFrom(false, false, true),
    }),
  },
  { weight: 10, arbitrary: fc.record({ do: fc.constant("yield"), microtasks: fc.nat(7) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("end") }) },
) as fc.Arbitrary<Step>;

/** Runs of up to 40 steps, that begin with a watcher. */
export const runs: fc.Arbitrary<Step[]> = fc
  .array(step, { minLength: 3, maxLength: 40, size: "max" })
  .map((steps) => [{ do: "watch", signal: "none" }, ...steps]);
