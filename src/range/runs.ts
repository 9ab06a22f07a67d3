/**
 * What came in pages, each in any order, read in the order of its revisions: each page is sorted by itself, and the
 * least of all their heads is next. So there is no moment at which all of it is sorted, which takes seconds for
 * millions.
 */

/** Something with a place in the order. */
interface Ranked {
  readonly revision: number;
}

/** A sorted page, and where reading it has come to: always before its end. */
interface Run<T> {
  readonly items: readonly T[];
  at: number;
}

export class Runs<T extends Ranked> {
  /** A heap: the head of no run is before that of the run at `(i - 1) >> 1`. */
  readonly #heap: Run<T>[] = [];

  /** Adds a page, which is sorted in place and kept. */
  add(items: T[]): void {
    if (items.length === 0) return;
    items.sort((a, b) => a.revision - b.revision);
    const heap = this.#heap;
    let i = heap.push({ items, at: 0 }) - 1;
    while (i > 0 && this.#head(i) < this.#head((i - 1) >> 1)) i = this.#swap(i, (i - 1) >> 1);
  }

  /** Takes out an item of the lowest revision there is; undefined where there are none. */
  next(): T | undefined {
    const heap = this.#heap;
    const run = heap[0];
    if (run === undefined) return undefined;
    const item = run.items[run.at++];
    if (run.at === run.items.length) {
      const last = heap.pop() as Run<T>;
      if (last !== run) heap[0] = last;
    }
    for (let i = 0; ;) {
      let least = i;
      for (const child of [2 * i + 1, 2 * i + 2]) {
        if (child < heap.length && this.#head(child) < this.#head(least)) least = child;
      }
      if (least === i) return item;
      i = this.#swap(i, least);
    }
  }

  #head(i: number): number {
    const { items, at } = this.#heap[i] as Run<T>;
    return (items[at] as T).revision;
  }

  #swap(i: number, j: number): number {
    const heap = this.#heap;
    [heap[i], heap[j]] = [heap[j] as Run<T>, heap[i] as Run<T>];
    return j;
  }
}
