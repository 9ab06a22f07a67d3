/**
 * A doubly linked list whose links are the listed objects themselves: joining and leaving allocate nothing and cost
 * the same however long it is.
 */

/** Something that can be in one list at a time. */
export class Link {
  before: Link | null = null;
  after: Link | null = null;
  /** The list it is in. */
  list: List<Link> | null = null;

  /** Leaves its list, if it is in one. */
  unlink(): void {
    if (this.list !== null) this.list.remove(this);
  }
}

export class List<out L extends Link> {
  first: L | null = null;
  last: L | null = null;
  size = 0;

  /** Appends `link`, which must be in no list. */
  add(link: Link): void {
    link.list = this;
    link.before = this.last;
    if (this.last === null) this.first = link as L;
    else this.last.after = link;
    this.last = link as L;
    this.size++;
  }

  /** Takes out `link`, which must be in this list. */
  remove(link: Link): void {
    const { before, after } = link;
    if (before === null) this.first = after as L | null;
    else before.after = after;
    if (after === null) this.last = before as L | null;
    else after.before = before;
    link.before = link.after = link.list = null;
    this.size--;
  }
}
