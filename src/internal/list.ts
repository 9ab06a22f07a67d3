/**
 * A doubly linked list whose links are the listed objects themselves: joining and leaving allocate nothing and cost
 * the same however long it is. The list is a link of its own ring, so no end is a special case.
 */

/** Something that can be in one list at a time. It does not know in which: that would be 8 bytes more a watcher. */
export interface Link {
  /** Its neighbours; null while it is in no list. */
  before: Link | null;
  after: Link | null;
}

export class List implements Link {
  /** What joined last, and first; the list itself while there is nothing. */
  before: Link = this;
  after: Link = this;
  size = 0;

  /** Appends `link`, which must be in no list. */
  add(link: Link): void {
    const last = this.before;
    link.before = last;
    link.after = this;
    last.after = this.before = link;
    this.size++;
  }

  /** Takes out `link`, which must be in this list. */
  remove(link: Link): void {
    link.before!.after = link.after;
    link.after!.before = link.before;
    link.before = link.after = null;
    this.size--;
  }
}
