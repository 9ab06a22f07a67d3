/**
 * Where the readers of a log stand: each position at which somebody stands, once, with the number of those who do.
 *
 * Invariants: positions are strictly ascending from the oldest mark to the newest; each mark has a reader.
 *
 * Positions are entered at the head of a log, which only moves forward, so a new one always goes to the end of the
 * list, and it is linked so that one in its middle can go at once.
 */

/** A position with readers. Its fields are for {@link Marks} alone to change. */
export interface Mark {
  readonly position: number;
  /** How many stand here; never 0 while the mark is in the list. */
  readers: number;
  older: Mark | undefined;
  newer: Mark | undefined;
}

/** The positions of a log's readers. Everything but {@link Marks.positions} takes constant time. */
export class Marks {
  #oldest: Mark | undefined;
  #newest: Mark | undefined;
  #size = 0;

  /** How many different positions there are. */
  get size(): number {
    return this.#size;
  }

  /** The newest position; 0 where there is none. */
  get newest(): number {
    return this.#newest === undefined ? 0 : this.#newest.position;
  }

  /** Puts one more reader at `position`, which is not before {@link Marks.newest}. */
  enter(position: number): Mark {
    const last = this.#newest;
    if (last?.position === position) {
      last.readers++;
      return last;
    }
    const mark: Mark = { position, readers: 1, older: last, newer: undefined };
    if (last === undefined) this.#oldest = mark;
    else last.newer = mark;
    this.#newest = mark;
    this.#size++;
    return mark;
  }

  /** Takes one reader away from `mark`. Returns whether nobody stands there any more. */
  leave(mark: Mark): boolean {
    if (--mark.readers > 0) return false;
    const { older, newer } = mark;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    this.#size--;
    return true;
  }

  /** All positions, ascending. */
  positions(): number[] {
    const positions: number[] = [];
    for (let mark = this.#oldest; mark !== undefined; mark = mark.newer) positions.push(mark.position);
    return positions;
  }
}
