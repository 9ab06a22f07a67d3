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
 * Invariants, whenever cursors may read, which is between one `settle` or merge and the next change:
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
import { byRevision } from "./by-revision.ts";
import { type Mark, Marks } from "./marks.ts";
import { asciiOf, holds, pack, type Packed, samePacked, unpack } from "./packed.ts";

/** A key as the store holds it. */
export interface StoredKey {
  readonly key: string;
  readonly bytes: Uint8Array;
  /** The same as text, where it is known to be ASCII. */
  readonly ascii?: string | undefined;
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
   * (to `undefined`), when `bytes` or `createRevision` change. What is read from it is what was put in or, of text,
   * its like.
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
  /**
   * How many changes are made at each step; of what takes less, four times as many are done.
   *
   * @defaultValue 8192, which take 10 ms or so
   */
  readonly stepSize?: number | undefined;
}

/** A snapshot on its way into a {@link ConflatingLog}. See {@link ConflatingLog.beginMerge}. */
export interface Merge {
  /** Adds some of its keys, which are the log's from here on. */
  add(keys: readonly Entry[]): void;
  /**
   * Makes the changes, some at each step, and settles at `revision` with the last one. The log tells that it is
   * {@link ConflatingLog.merging} from the first step to the last: cursors may come and go, but not read then.
   */
  commit(revision: number): Iterator<undefined, void, undefined>;
}

/** What a cursor in mid-pass notes of a key it was told is gone: before any change there is. */
const gone = 0;

/** What an entry's slot does not tell of the changes before. */
interface Past {
  changed: number;
  born: number;
  /**
   * The key's past lifetimes, each as the slot where it began and the slot where it ended: ascending, so the key was
   * alive at a position if an odd number of them are not after it. At least those in which a cursor has drained that
   * still has that mark. Never an empty array.
   */
  lifetimes: number[] | undefined;
}

/** What a deleted key's bytes are. Empty, so it can be shared. */
const noBytes: Uint8Array = new Uint8Array(0);

/**
 * One key: what {@link LogEntry} shows of it, and how it stands to the cursors.
 *
 * Its fields are assigned and not initialised, nor `#private`, as there may be a million: see `PullWatcher`.
 */
class Entry implements LogEntry {
  declare readonly key: string;
  /** Its bytes, if it is live. */
  declare packed: Packed | undefined;
  declare revision: number;
  declare createRevision: number;
  /** The slot it stands in; 0 once the log has forgotten the key. */
  declare seq: number;
  /** How many cursors in mid-pass were handed this key in that pass and not told since that it is gone. */
  declare pins: number;
  declare private kept: unknown;
  /** Undefined for a key that has stood nowhere else: the most of a million that were listed. */
  declare private before: Past | undefined;

  constructor(key: string, packed: Packed, revision: number, createRevision: number) {
    this.key = key;
    this.packed = packed;
    this.revision = revision;
    this.createRevision = createRevision;
    this.seq = this.pins = 0;
    this.kept = this.before = undefined;
  }

  get live(): boolean {
    return this.packed !== undefined;
  }

  get bytes(): Uint8Array {
    return this.packed === undefined ? noBytes : unpack(this.packed);
  }

  get ascii(): string | undefined {
    return asciiOf(this.packed);
  }

  /** The slot of its last change that cursors are told of. Before `seq` if only the revision changed since. */
  get changed(): number {
    return this.before === undefined ? this.seq : this.before.changed;
  }

  /** The slot with which it last came into being. It is alive at all positions from there on, if it is live. */
  get born(): number {
    return this.before === undefined ? this.seq : this.before.born;
  }

  /** Its past lifetimes, see {@link Past.lifetimes}. */
  get lifetimes(): number[] | undefined {
    return this.before?.lifetimes;
  }

  /** Puts it into a slot; what was true of it stays true. */
  moveTo(seq: number): void {
    if (this.seq !== 0) this.past();
    this.seq = seq;
  }

  past(): Past {
    return (this.before ??= { changed: this.seq, born: this.seq, lifetimes: undefined });
  }

  get decoded(): unknown {
    return this.kept;
  }

  /** Text that is kept as its own bytes already is not kept twice. */
  set decoded(value: unknown) {
    this.kept = value === this.packed ? this.packed : value;
  }

  /** Whether the store holds just this: an update to it is none. */
  isSame(bytes: Uint8Array, createRevision: number): boolean {
    return this.packed !== undefined && this.createRevision === createRevision && holds(this.packed, bytes);
  }

  /** The same, for bytes that are packed. */
  isLike({ packed, createRevision }: Pick<Entry, "packed" | "createRevision">): boolean {
    if (this.packed === undefined || packed === undefined || this.createRevision !== createRevision) return false;
    return samePacked(this.packed, packed);
  }

  /** Whether one of its remembered lifetimes covers `position`. */
  livedAt(position: number): boolean {
    const { lifetimes } = this;
    return lifetimes !== undefined && countUpTo(lifetimes, position) % 2 === 1;
  }
}

/** A key of a snapshot, made by {@link ConflatingLog.listed}: the entry that it becomes, if it is new. */
export type { Entry as ListedKey };

/** What a merge has to go by. */
interface Staged {
  /** What differs from the log, or has to move, in pages. */
  readonly moving: (readonly Entry[])[];
  /** The entries of the keys that do not: kept for a moment, where a field of each entry would stay. */
  readonly staying: ReadonlySet<Entry>;
  /** How many keys the snapshot has. */
  readonly listed: number;
  readonly rewound: boolean;
  readonly stepSize: number;
}

/** A range of keys as a store holds it, in the order of its changes. Made empty; a `merge` gives the first state. */
export class ConflatingLog {
  /** All entries there are. */
  #byKey = new Map<string, Entry>();
  #revision = 0;
  #merging = false;
  #rewinds = 0;
  #size = 0;
  #tombstones = 0;
  /** How many entries were ever dropped for being deleted and owed to nobody. */
  #forgotten = 0;
  /** How many lifetimes all entries remember. */
  #lifetimes = 0;
  /** At least the number of things a sweep would find to remove: see I5. */
  #work = 0;

  /**
   * A place for what a reader told of an entry last, for others who are to tell the same; the log clears it when
   * anything changes. Ten thousand watchers that are woken by one update take 9 hops each without, and 6 with it.
   */
  told: { readonly of: LogEntry; readonly change: unknown } | undefined;

  /** Who makes a batch of very many changes before it is delivered. */
  making: object | undefined;

  // What follows is shared with the cursors, and not for anybody else.

  /** The number of the newest slot there ever was. @internal */
  head = 0;
  /** The numbers of the slots that were not swept, ascending. @internal */
  seqs: number[] = [];
  /** What was put into each of them. The slot is blank if the entry's own `seq` is another. @internal */
  slots: Entry[] = [];
  /** How often slots were swept: an index into `slots` means the same slot until this changes. @internal */
  sweeps = 0;
  /** Where cursors have last drained. @internal */
  readonly marks: Marks = new Marks();

  /** The state is whole up to this revision of the store. */
  get revision(): number {
    return this.#revision;
  }

  /** Whether a merge has begun to make its changes and not come to its end: until then there is nothing to be read. */
  get merging(): boolean {
    return this.#merging;
  }

  /** How often the store was rewound. */
  get rewinds(): number {
    return this.#rewinds;
  }

  /** Another number whenever cursors may be owed something else than before. */
  get version(): number {
    return this.head + this.sweeps + this.#forgotten;
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
    if (entry === undefined) this.#add(new Entry(key, pack(bytes), revision, createRevision));
    else if (!entry.isSame(bytes, createRevision)) this.#change(entry, pack(bytes), revision, createRevision);
    else if (entry.revision !== revision) this.#restamp(entry, revision);
  }

  /** The store deleted a key. Its `revision` is not before that of any earlier change. */
  delete(key: string, revision: number): void {
    const entry = this.#byKey.get(key);
    if (entry === undefined || !entry.live) return;
    this.#size--;
    // Somebody drained while the key was alive, so somebody may hold it.
    if (this.marks.newest >= entry.born) {
      const past = entry.past();
      (past.lifetimes ??= []).push(past.born, this.head + 1);
      this.#lifetimes++;
    }
    if (isOwedToNobody(entry)) {
      this.#forget(entry);
      this.#work++;
      return;
    }
    entry.packed = undefined;
    entry.createRevision = 0;
    entry.decoded = undefined;
    this.#tombstones++;
    this.#restamp(entry, revision);
  }

  /** All changes up to `revision` were made: the state is whole, and cursors may read. */
  settle(revision: number): void {
    this.#revision = revision;
    this.told = undefined;
    this.tidy();
  }

  /** A key as a merge takes it. */
  static listed(key: string, packed: Packed, revision: number, createRevision: number): Entry {
    return new Entry(key, packed, revision, createRevision);
  }

  /** A merge all at once: see {@link ConflatingLog.beginMerge}. */
  merge(keys: readonly StoredKey[], revision: number, options: MergeOptions): void {
    const merge = this.beginMerge(options);
    merge.add(
      keys.map(({ key, bytes, revision, createRevision }) =>
        ConflatingLog.listed(key, pack(bytes), revision, createRevision),
      ),
    );
    const commit = merge.commit(revision);
    while (commit.next().done !== true);
  }

  /**
   * The state at some revision is a snapshot, of which each key comes once, in any order; how it came to that is not
   * known. A merge makes of it the changes that lead there: keys that differ, in revision order, then keys that
   * vanished, deleted at that revision. What is as before is left alone. The first state of an empty log is the same
   * case.
   *
   * What is added is held against the log at once, so what is kept is what differs. The log must not be changed
   * between the beginning of a merge and its end; a merge that is never committed leaves nothing behind.
   *
   * Where the store was rewound everything is put into new slots, since the old ones have no place in the new
   * revision order, and deletions that are still owed to somebody are, from now on, deletions at that revision.
   */
  beginMerge({ rewound, stepSize = 8192 }: MergeOptions): Merge {
    const moving: (readonly Entry[])[] = [];
    const staying = new Set<Entry>();
    let listed = 0;
    const add = (keys: readonly Entry[]): void => {
      listed += keys.length;
      const page: Entry[] = [];
      for (const one of keys) {
        const entry = this.#byKey.get(one.key);
        if (!rewound && entry?.revision === one.revision && entry.isLike(one)) staying.add(entry);
        else page.push(one);
      }
      if (page.length > 0) moving.push(page);
    };
    if (this.#byKey.size > 0) {
      return { add, commit: (revision) => this.#commit({ moving, staying, listed, rewound, stepSize }, revision) };
    }
    const byKey = new Map<string, Entry>();
    return {
      add(keys) {
        moving.push(keys);
        for (const entry of keys) byKey.set(entry.key, entry);
      },
      commit: (revision) => this.#fill(byKey, { moving, rewound, stepSize }, revision),
    };
  }

  /** Makes a snapshot the first state of an empty log. */
  *#fill(
    byKey: Map<string, Entry>,
    { moving, rewound, stepSize }: Pick<Staged, "moving" | "rewound" | "stepSize">,
    revision: number,
  ): Generator<undefined, void, undefined> {
    this.#merging = true;
    const slots = yield* byRevision(moving, 4 * stepSize);
    const { length } = slots;
    // oxlint-disable-next-line unicorn/no-new-array
    const seqs = new Array<number>(length);
    for (let from = 0; from < length; from += stepSize) {
      if (from > 0) yield;
      this.#occupy(slots, seqs, from, Math.min(from + stepSize, length));
    }
    this.#byKey = byKey;
    this.#size = length;
    this.slots = slots;
    this.seqs = seqs;
    this.sweeps++;
    this.#work = 0;
    this.#endMerge(revision, rewound);
  }

  /** Puts what stands in some of the slots of a first state into them. Not in the generator: see by-revision.ts. */
  #occupy(slots: readonly Entry[], seqs: number[], from: number, to: number): void {
    for (let i = from; i < to; i++) (slots[i] as Entry).seq = seqs[i] = ++this.head;
  }

  *#commit(
    { moving, staying, listed, rewound, stepSize }: Staged,
    revision: number,
  ): Generator<undefined, void, undefined> {
    this.#merging = true;
    const before = this.head;
    let steps = 0;
    for (const entry of yield* byRevision(moving, 4 * stepSize)) {
      const known = this.#byKey.get(entry.key);
      if (known === undefined) this.#add(entry);
      else if (known.isLike(entry)) this.#restamp(known, entry.revision);
      else this.#change(known, entry.packed as Packed, entry.revision, entry.createRevision);
      if (++steps % stepSize === 0) yield;
    }
    if (rewound) this.#restampTombstones(revision);
    if (this.#size > listed) {
      // What was listed stays, or stands in a new slot by now.
      for (const entry of this.#byKey.values()) {
        if (entry.live && entry.seq <= before && !staying.has(entry)) this.delete(entry.key, revision);
        if (++steps % stepSize === 0) yield;
      }
    }
    this.#endMerge(revision, rewound);
  }

  #endMerge(revision: number, rewound: boolean): void {
    this.#merging = false;
    if (rewound) this.#rewinds++;
    this.settle(revision);
  }

  #restampTombstones(revision: number): void {
    for (const entry of this.#byKey.values()) if (!entry.live) this.#restamp(entry, revision);
  }

  /** A key that is not there. */
  #add(entry: Entry): void {
    this.#byKey.set(entry.key, entry);
    this.#size++;
    this.#append(entry);
  }

  #change(entry: Entry, packed: Packed, revision: number, createRevision: number): void {
    const { live } = entry;
    entry.packed = packed;
    entry.createRevision = createRevision;
    entry.decoded = undefined;
    this.#restamp(entry, revision);
    const past = entry.past();
    past.changed = entry.seq;
    if (live) return;
    past.born = entry.seq;
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
    entry.moveTo(++this.head);
    this.seqs.push(entry.seq);
    this.slots.push(entry);
  }

  #forget(entry: Entry): void {
    this.#forgotten++;
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
        const kept = keepMarked(entry.lifetimes, positions);
        entry.past().lifetimes = kept;
        this.#lifetimes += (kept?.length ?? 0) / 2;
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

  /** Whether it was closed: it gives nothing any more. */
  get closed(): boolean {
    return this.#closed;
  }

  /** How many keys it lists for itself, for tests of the memory bound. 0 when it has read everything. */
  get footprint(): number {
    return this.#handed?.size ?? 0;
  }

  /** The next change, or `undefined` if there is none: then it knows the state at the log's revision. */
  next(): LogEntry | undefined {
    this.#pristine = false;
    if (this.#closed) return undefined;
    // Who waits asks before and after each wake, mostly in vain.
    if (this.#drained === this.#log.head) return undefined;
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
    if (this.#closed) return [];
    const { seqs, slots } = this.#log;
    const start = this.#start();
    // As long as it may have to be: an array of a million that grows leaves two of the kind behind.
    const changes: LogEntry[] = [];
    changes.length = slots.length - start;
    let count = 0;
    for (let i = start; i < slots.length; i++) {
      const entry = slots[i] as Entry;
      if (entry.seq === seqs[i] && this.#isNews(entry)) changes[count++] = entry;
    }
    changes.length = count;
    this.#endPass();
    return changes;
  }

  /** At most so many changes there are. */
  get most(): number {
    return this.#closed ? 0 : this.#log.slots.length - this.#start();
  }

  /**
   * Shows changes that `batch` would give, of the slots after the one numbered `after` and up to `head`: `most` of these at
   * a call. None of them is taken. Returns the last slot it has looked at; undefined if it has looked at all. What it shows
   * them to may close cursors, and so have slots swept.
   */
  look(after: number, head: number, most: number, show: (entry: LogEntry) => void): number | undefined {
    if (this.#closed) return undefined;
    const { seqs, slots } = this.#log;
    let i = after > this.#at ? countUpTo(seqs, after) : this.#start();
    const end = Math.min(i + most, slots.length);
    const { sweeps } = this.#log;
    let looked = after;
    for (; i < end; i++) {
      const seq = seqs[i] as number;
      if (seq > head) return undefined;
      looked = seq;
      const entry = slots[i] as Entry;
      if (entry.seq !== seq || !this.#isNews(entry)) continue;
      show(entry);
      if (this.#log.sweeps !== sweeps) return looked;
    }
    return i < slots.length ? looked : undefined;
  }

  /** What `batch` does, for who has looked at all changes there are. */
  skip(): void {
    this.#pristine = false;
    if (!this.#closed) this.#endPass();
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
    for (this.#start(); this.#index < slots.length; this.#index++) {
      const entry = slots[this.#index] as Entry;
      const seq = seqs[this.#index] as number;
      if (entry.seq === seq && this.#isNews(entry)) return entry;
      this.#at = seq;
    }
    return undefined;
  }

  /** The index of the first slot after its position. */
  #start(): number {
    if (this.#sweeps !== this.#log.sweeps) {
      this.#sweeps = this.#log.sweeps;
      this.#index = countUpTo(this.#log.seqs, this.#at);
    }
    return this.#index;
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
