/**
 * The conflating log: one copy of a range of keys, and any number of cursors that read its changes.
 *
 * Each key has one entry with its newest state, and stands in one slot of an array in which slots are only ever
 * appended: an update leaves the key's old slot blank and appends the entry again. So the array, read from front to
 * back, is the whole state in revision order, and what follows a cursor's position is all that changed since. A
 * cursor is a position. Nothing is queued or copied for it, an update costs the same whether one or ten thousand
 * of them exist, and one that stands still for a year has missed nothing but what was overwritten.
 *
 * Positions are sequence numbers, not indexes: `head` counts all the slots there ever were, and blank slots are
 * swept out of the array from time to time.
 *
 * What a cursor is owed is the difference between what it was told and what is true:
 *
 * - a live key, if the key changed since it was told of it; that includes "was never told of it";
 * - a deleted key, if it was told the key is there and not that it is gone. Nobody else hears of a deletion.
 *
 * What it was told has to be known without a list for each cursor, or memory would follow the number of cursors.
 * A cursor that has read everything was told all that was true at the position it then had: it has *drained* there.
 * For a live key `changed`, the slot of its last change, is compared with that position. For a deleted key the
 * question is whether the key was alive there, so a key remembers its past *lifetimes* (from the slot it came into
 * being until the slot it went), as long as a cursor has drained within; `marks` are these positions. Only between
 * two drains, in the middle of a *pass* by single gets, does a cursor list what it was handed since the last one; it
 * *pins* those keys, so that their deletion is kept for it.
 *
 * The obvious rule is to keep a deleted key until all cursors have passed it, hidden from those that are older than
 * the key. It goes wrong three ways. It loses deletions: of a key that went, came back unread and went again, for a
 * cursor that was handed it the first time. It invents them: of a key that was updated, and so moved out of the way of
 * a cursor in its first pass, before that was handed it. And it keeps every key that ever was for as long as one idle
 * cursor stands before it, though that cursor never heard of it.
 *
 * Invariants, whenever cursors may read, which is between one `settle` or `merge` and the next change:
 *
 * - I1  Each key has at most one entry, each entry stands in exactly one slot: the one numbered `entry.seq`.
 * - I2  Revisions do not decrease from slot to slot.
 * - I3  An entry is live, or a cursor was told that the key is there and not that it is gone. (A cursor in mid-pass
 *       counts as knowing what it knew when the pass began, even if it was told better since. And what became
 *       untrue since the last sweep waits for the next one.)
 * - I4  A cursor is owed none of the entries that stand at or before its position.
 * - I5  Blank slots, deleted keys that nobody is owed, and lifetimes in which nobody drained, are together at most
 *       `work`; `settle` and the end of a pass sweep when that is more than half of what there is to go through.
 *       So memory follows live keys and owed deletions, and sweeping is a constant share of each update.
 *
 * This file is pure and synchronous: it does not wait, decode, or speak to anything. Whoever feeds it (a backend) sees
 * to it that revisions are whole when it settles; whoever reads it (a range watcher) turns entries into updates.
 */
import { countUpTo } from "./ascending.ts";
import { type Mark, Marks } from "./marks.ts";

/** A key as the store holds it. */
export interface StoredKey {
  readonly key: string;
  readonly bytes: Uint8Array;
  /** The store's revision of the last write of the key. */
  readonly revision: number;
  /** The store's revision at which the key last came into being. */
  readonly createRevision: number;
}

/** A key's newest state. Read it at once: the next change of the key changes this very object. */
export interface LogEntry extends StoredKey {
  /** Whether the key exists. Otherwise it was deleted at `revision`, `bytes` is empty, and `createRevision` 0. */
  readonly live: boolean;
  /**
   * A place for what readers made of `bytes`, so that it is made once for all of them. The log only ever clears it
   * (to `undefined`), when `bytes` or `createRevision` change.
   */
  decoded: unknown;
}

/** Options of {@link ConflatingLog.merge}. */
export interface MergeOptions {
  /**
   * Whether the snapshot may be of another history than what the log holds: a store that was restored or replaced.
   * Its revisions say nothing about those of before, and may be lower.
   */
  readonly rewound: boolean;
}

/** What a deleted key's bytes are. Empty, so it can be shared. */
const noBytes: Uint8Array = new Uint8Array(0);

/** What a cursor in mid-pass notes of a key it was told is gone: before any change there is. */
const gone = 0;

/** One key: what {@link LogEntry} shows of it, and how it stands to the cursors. */
class Entry implements LogEntry {
  readonly key: string;
  live = true;
  bytes: Uint8Array;
  revision: number;
  createRevision: number;
  decoded: unknown = undefined;
  /** The slot it stands in; 0 once the log has forgotten the key. */
  seq = 0;
  /** The slot of its last change that cursors are told of. Before `seq` if only the revision changed since. */
  changed = 0;
  /** The slot with which it last came into being. It is alive at all positions from there on, if it is live. */
  born = 0;
  /**
   * Its past lifetimes, each as the slot where it began and the slot where it ended: ascending, so the key was alive
   * at a position if an odd number of them are not after it. At least those in which a cursor has drained that
   * still has that mark. Never an empty array.
   */
  lifetimes: number[] | undefined = undefined;
  /** How many cursors in mid-pass were handed this key in that pass and not told since that it is gone. */
  pins = 0;

  constructor(key: string, bytes: Uint8Array, revision: number, createRevision: number) {
    this.key = key;
    this.bytes = bytes;
    this.revision = revision;
    this.createRevision = createRevision;
  }

  /** Whether the store holds just this: an update to it is none. */
  isSame(bytes: Uint8Array, createRevision: number): boolean {
    return this.live && this.createRevision === createRevision && equalBytes(this.bytes, bytes);
  }

  /** Whether one of its remembered lifetimes covers `position`. */
  livedAt(position: number): boolean {
    return this.lifetimes !== undefined && countUpTo(this.lifetimes, position) % 2 === 1;
  }
}

/** A range of keys as a store holds it, in the order of its changes. Made empty; a `merge` gives the first state. */
export class ConflatingLog {
  /** All entries there are. */
  readonly #byKey = new Map<string, Entry>();
  #revision = 0;
  #size = 0;
  #tombstones = 0;
  /** How many lifetimes all entries remember. */
  #lifetimes = 0;
  /** At least the number of things a sweep would find to remove: see I5. */
  #work = 0;

  // What follows is shared with the cursors, and not for anybody else.

  /** The number of the newest slot there ever was. @internal */
  head = 0;
  /** The numbers of the slots that were not swept, ascending. @internal */
  readonly seqs: number[] = [];
  /** What was put into each of them. The slot is blank if the entry's own `seq` is another. @internal */
  readonly slots: Entry[] = [];
  /** How often slots were swept: an index into `slots` means the same slot until this changes. @internal */
  sweeps = 0;
  /** Where cursors have last drained. @internal */
  readonly marks: Marks = new Marks();

  /** The state is whole up to this revision of the store. */
  get revision(): number {
    return this.#revision;
  }

  /** How many keys are live. */
  get size(): number {
    return this.#size;
  }

  /** How many deleted keys are remembered, for cursors that are owed the deletion. */
  get tombstones(): number {
    return this.#tombstones;
  }

  /** How much the log holds, in entries, slots and lifetimes, for tests of I5. */
  get footprint(): number {
    return this.#byKey.size + this.slots.length + this.#lifetimes;
  }

  /** The key's entry, if it is live. */
  get(key: string): LogEntry | undefined {
    const entry = this.#byKey.get(key);
    return entry?.live === true ? entry : undefined;
  }

  /** The live keys, in revision order. The log must not be changed while this is read. */
  *entries(): Generator<LogEntry, void, undefined> {
    for (let i = 0; i < this.slots.length; i++) {
      const entry = this.slots[i] as Entry;
      if (entry.live && entry.seq === this.seqs[i]) yield entry;
    }
  }

  /** Opens a cursor before everything: all live keys are news to it. Takes constant time. */
  join(): Cursor {
    return new Cursor(this);
  }

  /**
   * The store wrote a key. Its `revision` is not before that of any earlier change. Where bytes and `createRevision`
   * are what the key holds already, only the revision is recorded.
   */
  put(key: string, bytes: Uint8Array, revision: number, createRevision: number): void {
    const entry = this.#byKey.get(key);
    if (entry === undefined) this.#create(key, bytes, revision, createRevision);
    else if (!entry.isSame(bytes, createRevision)) this.#change(entry, bytes, revision, createRevision);
    else if (entry.revision !== revision) this.#restamp(entry, revision);
  }

  /** The store deleted a key. Its `revision` is not before that of any earlier change. */
  delete(key: string, revision: number): void {
    const entry = this.#byKey.get(key);
    if (entry === undefined || !entry.live) return;
    this.#size--;
    // Somebody drained while the key was alive, so somebody may hold it.
    if (this.marks.newest >= entry.born) {
      (entry.lifetimes ??= []).push(entry.born, this.head + 1);
      this.#lifetimes++;
    }
    if (isOwedToNobody(entry)) {
      this.#forget(entry);
      this.#work++;
      return;
    }
    entry.live = false;
    entry.bytes = noBytes;
    entry.createRevision = 0;
    entry.decoded = undefined;
    this.#tombstones++;
    this.#restamp(entry, revision);
  }

  /** All changes up to `revision` were made: the state is whole, and cursors may read. */
  settle(revision: number): void {
    this.#revision = revision;
    this.tidy();
  }

  /**
   * The state at `revision` is `keys`, each once and in any order; how it came to that is not known. Makes of it the
   * changes that lead there: keys that differ, in revision order, then keys that vanished, deleted at `revision`.
   * What is as before is left alone. The first state of an empty log is the same case. Settles.
   *
   * Where the store was rewound everything is put into new slots, since the old ones have no place in the new
   * revision order, and deletions that are still owed to somebody are, from now on, deletions at `revision`.
   */
  merge(keys: readonly StoredKey[], revision: number, { rewound }: MergeOptions): void {
    const moving = keys.filter((stored) => rewound || !this.#holds(stored));
    moving.sort((a, b) => a.revision - b.revision);
    for (const { key, bytes, revision: written, createRevision } of moving) {
      const before = this.head;
      this.put(key, bytes, written, createRevision);
      if (this.head === before) this.#restamp(this.#byKey.get(key) as Entry, written);
    }
    if (rewound) this.#restampTombstones(revision);
    if (this.#size > keys.length) this.#deleteOthers(keys, revision);
    this.settle(revision);
  }

  /** Whether the log has this already, with this revision. */
  #holds(stored: StoredKey): boolean {
    const entry = this.#byKey.get(stored.key);
    return entry?.revision === stored.revision && entry.isSame(stored.bytes, stored.createRevision);
  }

  #restampTombstones(revision: number): void {
    for (const entry of this.#byKey.values()) if (!entry.live) this.#restamp(entry, revision);
  }

  /** Deletes the live keys that are not among `keys`. */
  #deleteOthers(keys: readonly StoredKey[], revision: number): void {
    const staying = new Set<string>();
    for (const { key } of keys) staying.add(key);
    for (const { key, live } of this.#byKey.values()) if (live && !staying.has(key)) this.delete(key, revision);
  }

  #create(key: string, bytes: Uint8Array, revision: number, createRevision: number): void {
    const entry = new Entry(key, bytes, revision, createRevision);
    this.#byKey.set(key, entry);
    this.#size++;
    this.#append(entry);
    entry.born = entry.changed = entry.seq;
  }

  #change(entry: Entry, bytes: Uint8Array, revision: number, createRevision: number): void {
    entry.bytes = bytes;
    entry.createRevision = createRevision;
    entry.decoded = undefined;
    this.#restamp(entry, revision);
    entry.changed = entry.seq;
    if (entry.live) return;
    entry.live = true;
    entry.born = entry.seq;
    this.#size++;
    this.#tombstones--;
  }

  /** Moves the entry to the head, where its new revision belongs. That alone tells no cursor anything. */
  #restamp(entry: Entry, revision: number): void {
    entry.revision = revision;
    this.#append(entry);
    this.#work++;
  }

  #append(entry: Entry): void {
    entry.seq = ++this.head;
    this.seqs.push(entry.seq);
    this.slots.push(entry);
  }

  #forget(entry: Entry): void {
    this.#byKey.delete(entry.key);
    entry.seq = 0;
  }

  /** A cursor takes its mark away, to set it at the head or for good. @internal */
  unmark(mark: Mark): void {
    if (!this.marks.leave(mark)) return;
    // What this mark alone kept: at most one lifetime of each entry that moved since then, and with it its slot.
    this.#work += 2 * Math.min(this.#lifetimes, this.slots.length - countUpTo(this.seqs, mark.position));
  }

  /** A cursor that was handed this key does not hold it any more, or will find it by its mark. @internal */
  unpin(entry: Entry): void {
    entry.pins--;
    if (!entry.live) this.#work++;
  }

  /** Sweeps if that is due. @internal */
  tidy(): void {
    const toGoThrough = this.slots.length + this.#lifetimes + this.marks.size;
    if (this.#work > 16 + toGoThrough / 2) this.#sweep();
  }

  /** Removes all that {@link ConflatingLog.#work} counts. */
  #sweep(): void {
    const { seqs, slots } = this;
    const positions = this.marks.positions();
    let kept = 0;
    this.#lifetimes = 0;
    for (let i = 0; i < slots.length; i++) {
      const entry = slots[i] as Entry;
      if (entry.seq !== seqs[i]) continue;
      if (entry.lifetimes !== undefined) {
        entry.lifetimes = keepMarked(entry.lifetimes, positions);
        this.#lifetimes += (entry.lifetimes?.length ?? 0) / 2;
      }
      if (!entry.live && isOwedToNobody(entry)) {
        this.#forget(entry);
        this.#tombstones--;
        continue;
      }
      seqs[kept] = entry.seq;
      slots[kept] = entry;
      kept++;
    }
    seqs.length = slots.length = kept;
    this.#work = 0;
    this.sweeps++;
  }
}

/**
 * One reader's place in a {@link ConflatingLog}. It holds nothing but numbers, and what it was handed by single gets
 * since it last had read everything. It reads between settles only.
 */
export class Cursor {
  readonly #log: ConflatingLog;
  /** Its position: see I4. Not before `#drained`. */
  #at = 0;
  /** The head when it last had read everything: it knows all that was true there. 0: it never had. */
  #drained = 0;
  /** Where it is counted among the log's marks: at `#drained`, unless that is 0. */
  #mark: Mark | undefined;
  /**
   * In mid-pass, what it was handed since `#drained`, where that is more than `#drained` tells: for each key the
   * change it knows of, or `gone`. Each entry is in the log: it is pinned, or was alive at the mark.
   */
  #handed: Map<Entry, number> | undefined;
  /** The index of the first slot after `#at`, as of the log's sweep number `#sweeps`. Saves a search for each get. */
  #index = 0;
  #sweeps = 0;
  #pristine = true;
  #closed = false;

  /** @internal Use {@link ConflatingLog.join}. */
  constructor(log: ConflatingLog) {
    this.#log = log;
    this.#sweeps = log.sweeps;
  }

  /** Whether it was not asked for anything yet: its first batch is the whole state, complete and possibly empty. */
  get pristine(): boolean {
    return this.#pristine;
  }

  /** How many keys it lists for itself, for tests of the memory bound. 0 when it has read everything. */
  get footprint(): number {
    return this.#handed?.size ?? 0;
  }

  /** The next change, or `undefined` if there is none: then it knows the state at the log's revision. */
  next(): LogEntry | undefined {
    this.#pristine = false;
    if (this.#closed) return undefined;
    const entry = this.#seek();
    if (entry !== undefined) {
      this.#at = entry.seq;
      this.#index++;
      // The pass ends with the last change, not when one asks for another: an idle cursor has no list.
      if (this.#seek() !== undefined) {
        this.#note(entry);
        return entry;
      }
    }
    this.#endPass();
    return entry;
  }

  /** All changes there are, at most one a key, in revision order. Then it knows the state at the log's revision. */
  batch(): LogEntry[] {
    this.#pristine = false;
    const changes: LogEntry[] = [];
    if (this.#closed) return changes;
    const { seqs, slots } = this.#log;
    for (let i = this.#start(); i < slots.length; i++) {
      const entry = slots[i] as Entry;
      if (entry.seq === seqs[i] && this.#isNews(entry)) changes.push(entry);
    }
    this.#endPass();
    return changes;
  }

  /** Gives up its place; the log holds nothing for it any more. There is nothing to read after that. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#unpinAll();
    if (this.#mark !== undefined) this.#log.unmark(this.#mark);
    this.#mark = undefined;
    // Thousands of cursors may close at once, so all but the last leave the sweep to the next settle.
    if (this.#log.marks.size === 0) this.#log.tidy();
  }

  /** The first change after its position, which moves on over everything before that. */
  #seek(): Entry | undefined {
    const { seqs, slots } = this.#log;
    this.#index = this.#start();
    for (; this.#index < slots.length; this.#index++) {
      const entry = slots[this.#index] as Entry;
      const seq = seqs[this.#index] as number;
      if (entry.seq === seq && this.#isNews(entry)) return entry;
      this.#at = seq;
    }
    return undefined;
  }

  /** The index of the first slot after its position. */
  #start(): number {
    if (this.#sweeps === this.#log.sweeps) return this.#index;
    this.#sweeps = this.#log.sweeps;
    return countUpTo(this.#log.seqs, this.#at);
  }

  /** Whether it is owed this entry, which stands after its position. */
  #isNews(entry: Entry): boolean {
    // Whatever it knows of was not after its position: no need to look it up.
    if (entry.live && entry.changed > this.#at) return true;
    const told = this.#handed?.get(entry);
    if (entry.live) return entry.changed > (told ?? this.#drained);
    return told === undefined ? entry.livedAt(this.#drained) : told !== gone;
  }

  /** Keeps in mind that it was handed this entry, with more to come in this pass. */
  #note(entry: Entry): void {
    this.#handed ??= new Map();
    const pinned = (this.#handed.get(entry) ?? gone) !== gone;
    if (entry.live) {
      if (!pinned) entry.pins++;
      this.#handed.set(entry, entry.changed);
      return;
    }
    if (pinned) this.#log.unpin(entry);
    if (entry.livedAt(this.#drained)) this.#handed.set(entry, gone);
    else this.#handed.delete(entry);
  }

  /** It knows all there is now. */
  #endPass(): void {
    const log = this.#log;
    this.#unpinAll();
    this.#at = log.head;
    if (this.#drained !== log.head) {
      this.#drained = log.head;
      if (this.#mark !== undefined) log.unmark(this.#mark);
      this.#mark = log.marks.enter(log.head);
    }
    log.tidy();
    this.#index = log.slots.length;
    this.#sweeps = log.sweeps;
  }

  #unpinAll(): void {
    if (this.#handed === undefined) return;
    for (const [entry, told] of this.#handed) if (told !== gone) this.#log.unpin(entry);
    this.#handed = undefined;
  }
}

/** Whether no cursor holds the key of an entry that is not live, or is about to be so. */
function isOwedToNobody(entry: Entry): boolean {
  return entry.lifetimes === undefined && entry.pins === 0;
}

/** Those of the lifetimes in which there is a position. */
function keepMarked(lifetimes: readonly number[], positions: readonly number[]): number[] | undefined {
  const kept: number[] = [];
  for (let i = 0; i < lifetimes.length; i += 2) {
    const [born, died] = [lifetimes[i] as number, lifetimes[i + 1] as number];
    if (countUpTo(positions, born - 1) < countUpTo(positions, died - 1)) kept.push(born, died);
  }
  return kept.length === 0 ? undefined : kept;
}

/** Compared by content. Without Node's Buffer, since backends of any runtime use this. */
function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
