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
    this.list?.remove(this);
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
    if (this.last) this.last.after = link;
    else this.first = link as L;
    this.last = link as L;
    this.size++;
  }

  /** Takes out `link`, which must be in this list. */
  remove(link: Link): void {
    const { before, after } = link;
    if (before) before.after = after;
    else this.first = after as L | null;
    if (after) after.before = before;
    else this.last = before as L | null;
    link.before = link.after = link.list = null;
    this.size--;
  }
}
