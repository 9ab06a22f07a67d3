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

/**
 * Returns all items of the pages, in order. Where they are more than `stepSize` it yields each time it has gone through
 * all of them, which takes a million 20 ms.
 */
export function* byRevision<T extends Ranked>(
  pages: readonly (readonly T[])[],
  stepSize: number,
): Generator<undefined, T[], undefined> {
  const sorting = new Sorting<T>(pages);
  for (const page of pages) sorting.take(page);
  const { items, ascending, least, most } = sorting;
  if (ascending) return items;
  const inSteps = items.length > stepSize;
  for (let unit = 1; unit <= most - least; unit *= digits) {
    if (inSteps) yield;
    sorting.count(unit);
    if (inSteps) yield;
    sorting.deal(unit);
  }
  if (inSteps) yield;
  return sorting.result();
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
  /** Which of the items stands at each place, by the digits that were dealt out. */
  #order: Uint32Array | undefined;
  /** Where those with each digit begin; the next of them, while they are dealt out. */
  readonly #starts = new Uint32Array(digits);

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

  count(unit: number): void {
    const starts = this.#starts;
    const revisions = this.#revisions;
    const { least } = this;
    starts.fill(0);
    for (let i = 0; i < revisions.length; i++) starts[digitOf(revisions[i]! - least, unit)]!++;
    let sum = 0;
    for (let digit = 0; digit < digits; digit++) {
      const count = starts[digit]!;
      starts[digit] = sum;
      sum += count;
    }
  }

  deal(unit: number): void {
    const starts = this.#starts;
    const revisions = this.#revisions;
    const order = this.#order;
    const { least } = this;
    const next = new Uint32Array(revisions.length);
    for (let place = 0; place < next.length; place++) {
      const i = order === undefined ? place : order[place]!;
      next[starts[digitOf(revisions[i]! - least, unit)]!++] = i;
    }
    this.#order = next;
  }

  result(): T[] {
    const { items } = this;
    const order = this.#order!;
    // oxlint-disable-next-line unicorn/no-new-array
    const sorted = new Array<T>(items.length);
    for (let place = 0; place < sorted.length; place++) sorted[place] = items[order[place]!]!;
    return sorted;
  }
}

/** Of what is beyond 32 bits `&` takes the last ones. */
function digitOf(revision: number, unit: number): number {
  return (revision / unit) & (digits - 1);
}
