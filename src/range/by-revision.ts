/**
 * What came in pages, each in any order, put into the order of its revisions, and no two compared: a million take 50 ms
 * so, and a second otherwise.
 *
 * They are dealt out by the last digit of their revisions, then, as what is equal stays in its order, by the one before
 * it, and so on as far as they differ.
 *
 * Each loop is a function of its own: V8 (Node 20) runs one in a generator at half the speed while it is new, and of a
 * first snapshot each is run once.
 */

/** Something with a place in the order. */
interface Ranked {
  readonly revision: number;
}

/** Digits of eleven bits: so many counts fit into the fastest cache, and three digits make eight billion revisions. */
const digits = 2048;

/** Returns all items of the pages, in order. Where they are more, it goes through `stepSize` of them between two yields. */
export function* byRevision<T extends Ranked>(
  pages: readonly (readonly T[])[],
  stepSize: number,
): Generator<undefined, T[], undefined> {
  const sorting = new Sorting<T>(pages);
  const { length } = sorting.items;
  for (const page of pages) {
    sorting.take(page);
    if (length > stepSize) yield;
  }
  const { items, ascending, least, most } = sorting;
  if (ascending) return items;
  /** Does `work` from one item to another, and so on. */
  function* inSteps(work: (from: number, to: number) => void): Generator<undefined, void, undefined> {
    for (let from = 0; from < length; from += stepSize) {
      work(from, Math.min(from + stepSize, length));
      if (length > stepSize) yield;
    }
  }
  for (let unit = 1; unit <= most - least; unit *= digits) {
    sorting.begin();
    yield* inSteps((from, to) => sorting.count(unit, from, to));
    sorting.sum();
    yield* inSteps((from, to) => sorting.deal(unit, from, to));
  }
  sorting.end();
  yield* inSteps((from, to) => sorting.place(from, to));
  return sorting.sorted;
}

class Sorting<T extends Ranked> {
  /** As they came. */
  readonly items: T[];
  /** Whether that is their order. */
  ascending = true;
  least = Infinity;
  most = -Infinity;
  #length = 0;
  readonly #revisions: Float64Array;
  /** Which of the items stands at each place, by the digits that were dealt out before. */
  #order: Uint32Array | undefined;
  /** The same, by the digit that is dealt out now. */
  #next: Uint32Array | undefined;
  /** How many have each digit; then where the next of them goes. */
  readonly #starts = new Uint32Array(digits);
  /** The items in order, as far as they were placed. */
  sorted: T[] = [];

  constructor(pages: readonly (readonly T[])[]) {
    let length = 0;
    for (const page of pages) length += page.length;
    // As long as it has to be: what grows leaves twice its size behind, and a single key would have room for 17.
    // oxlint-disable-next-line unicorn/no-new-array
    this.items = new Array<T>(length);
    this.#revisions = new Float64Array(length);
  }

  take(page: readonly T[]): void {
    const revisions = this.#revisions;
    let { least, most } = this;
    let at = this.#length;
    for (let i = 0; i < page.length; i++) {
      const item = page[i]!;
      const { revision } = item;
      this.items[at] = item;
      revisions[at++] = revision;
      if (revision < most) this.ascending = false;
      else most = revision;
      if (revision < least) least = revision;
    }
    this.#length = at;
    this.least = least;
    this.most = most;
  }

  /** Another digit. */
  begin(): void {
    this.#order = this.#next;
    this.#next = new Uint32Array(this.items.length);
    this.#starts.fill(0);
  }

  count(unit: number, from: number, to: number): void {
    const starts = this.#starts;
    const revisions = this.#revisions;
    const { least } = this;
    for (let i = from; i < to; i++) starts[digitOf(revisions[i]! - least, unit)]!++;
  }

  sum(): void {
    const starts = this.#starts;
    let sum = 0;
    for (let digit = 0; digit < digits; digit++) {
      const count = starts[digit]!;
      starts[digit] = sum;
      sum += count;
    }
  }

  deal(unit: number, from: number, to: number): void {
    const starts = this.#starts;
    const revisions = this.#revisions;
    const order = this.#order;
    const next = this.#next!;
    const { least } = this;
    for (let place = from; place < to; place++) {
      const i = order === undefined ? place : order[place]!;
      next[starts[digitOf(revisions[i]! - least, unit)]!++] = i;
    }
  }

  /** No other digit. */
  end(): void {
    // oxlint-disable-next-line unicorn/no-new-array
    this.sorted = new Array<T>(this.items.length);
  }

  place(from: number, to: number): void {
    const { items, sorted } = this;
    const order = this.#next!;
    for (let place = from; place < to; place++) sorted[place] = items[order[place]!]!;
  }
}

/** Of what is beyond 32 bits `&` takes the last ones. */
function digitOf(revision: number, unit: number): number {
  return (revision / unit) & (digits - 1);
}
