/**
 * State and its watchers, as the questions use them: a `MemoryValue` is that by itself, others are adapted to it.
 *
 * Whoever does not fit at a price of its own (Effect's fibers, the queues of `events.on`) does the questions' work in
 * its own way instead, in its file.
 */

/** Holds a number, 0 at first. */
export interface State {
  set(value: number): void;
  /** Its first value is the current one. */
  watch(): StateWatcher;
}

export interface StateWatcher extends AsyncIterable<number> {
  get(): Promise<number>;
  close(): void;
}

export function watchers(state: State, count: number): StateWatcher[] {
  return Array.from({ length: count }, () => state.watch());
}

/** The same, with nothing to be delivered. */
export async function readers(state: State, count: number): Promise<StateWatcher[]> {
  const made = watchers(state, count);
  for (const watcher of made) await watcher.get();
  return made;
}

/** The sum of 1 to `count` in 32 bits, which a loop can sum up at no cost: proof that it had each of these once. */
export function sumTo(count: number): number {
  return Number(BigInt.asIntN(32, (BigInt(count) * BigInt(count + 1)) / 2n));
}

/**
 * A copy of `loop`, compiled and optimised by itself, so that the objects of one contender do not make the calls of
 * another's slower. It must name nothing but its parameters and globals.
 */
export function copyOf<Loop extends (...args: never[]) => unknown>(loop: Loop): Loop {
  // Equal texts would be compiled once.
  // oxlint-disable-next-line typescript/no-implied-eval
  return new Function(`return ${loop.toString()} // ${copies++}`)() as Loop;
}
let copies = 0;
