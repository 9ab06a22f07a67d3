/**
 * The seed of all that is random in a test run. `npm test` draws one, prints it and hands it to every test file in
 * `EV_SEED`; setting `EV_SEED` replays it. Titles of random suites carry it: `describe(`backlog (seed ${seed})`)`.
 */
export const seed: number = read(process.env["EV_SEED"]) ?? Math.floor(Math.random() * 0x7fffffff);

function read(given: string | undefined): number | undefined {
  if (given === undefined || given === "") return undefined;
  const value = Number(given);
  if (!Number.isSafeInteger(value)) throw new RangeError(`EV_SEED must be an integer, not ${given}`);
  return value;
}

/** A small, fast, seeded generator (mulberry32): the same seed gives the same numbers on every machine. */
export class Random {
  #state: number;
  constructor(from: number) {
    this.#state = from >>> 0;
  }
  /** A float in [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }
  /** An integer in [0, below). */
  below(below: number): number {
    return Math.floor(this.next() * below);
  }
  /** One of `choices`. */
  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }
}
