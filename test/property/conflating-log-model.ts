/**
 * What a conflating log has to do, said naively: the state it holds, and for each watcher a map of what it was told.
 * A log is driven together with it, and whatever the log says is checked at once.
 *
 * The rule is one sentence: a watcher is owed each live key whose `version` is not the one it was told, and a
 * deletion of each key it was told of that is not there. All else here is bookkeeping for stores that lose touch
 * with the log, and are rewound.
 */
import type { ConflatingLog, Cursor, ListedKey, LogEntry, StoredKey } from "../../src/range/conflating-log.ts";
import { pack } from "../../src/range/packed.ts";
import type { Random } from "../support/seed.ts";

/** What is written to one key; `undefined` deletes it. */
export interface Write {
  readonly key: number;
  readonly value: number | undefined;
}

/** One step of a run. Watchers are meant modulo their number; without any, their steps do nothing. */
export type Step =
  /** The store makes revisions, each of several writes, and the log is told of all of them, then settled. */
  | { readonly do: "write"; readonly revisions: ReadonlyArray<readonly Write[]> }
  /** The store makes revisions the log is not told of; then the log merges a snapshot. */
  | { readonly do: "resync"; readonly revisions: ReadonlyArray<readonly Write[]> }
  /** As `resync`, but the log has been told a part of the next revision when it loses touch. */
  | { readonly do: "break"; readonly told: readonly Write[]; readonly untold: readonly Write[] }
  /** The store goes back to what it was `back` checkpoints ago, or is a new one (0); writes; the log merges. */
  | { readonly do: "rewind"; readonly back: number; readonly revisions: ReadonlyArray<readonly Write[]> }
  /** The store tells that nothing happened for a while. */
  | { readonly do: "progress"; readonly by: number }
  | { readonly do: "join" }
  | { readonly do: "next"; readonly watcher: number; readonly times: number }
  | { readonly do: "batch"; readonly watcher: number }
  | { readonly do: "close"; readonly watcher: number };

/** Something the log did that it must not do. */
export class Violation extends Error {}

/** The class that is driven: the real one, or a mutant of it. */
export type LogClass = new () => ConflatingLog;

/** A key as the store has it. */
interface Stored {
  readonly value: number;
  readonly revision: number;
  readonly createRevision: number;
}

/** A key as the log should have it. `version` is another one after each change that watchers are told of. */
interface Known extends Stored {
  readonly version: number;
}

/** What a watcher was told of a key. */
interface Told {
  readonly version: number;
  /** The key's lifetime in which it was told. */
  readonly life: number;
}

class Watcher {
  readonly cursor: Cursor;
  /** What it was told: a consumer that applies all it is given holds these keys. */
  readonly told = new Map<string, Told>();
  /** What it was told when it last knew everything. */
  base = new Map<string, Told>();
  /** The revision of the last change it was given, in the present history. */
  revision = 0;
  asked = false;
  /** What it was owed when it looked, and by which version of the log; undefined once it was handed something. */
  seen: { readonly version: number; readonly owed: string } | undefined;

  constructor(cursor: Cursor) {
    this.cursor = cursor;
  }
}

const contents: readonly Uint8Array[] = [[], [97], [98], [97, 97], [97, 98]].map((bytes) => Uint8Array.from(bytes));

/** A log, the store it follows, and its watchers. */
export class Run {
  readonly log: ConflatingLog;
  readonly #keys: readonly string[];
  #watchers: Watcher[] = [];

  #revision = 1;
  #stored = new Map<string, Stored>();
  /** States the store can be rewound to. */
  #checkpoints: Array<{ readonly revision: number; readonly stored: Map<string, Stored> }> = [];

  /** What the log should hold. */
  readonly #known = new Map<string, Known>();
  /** The revision of each deletion, as it is to be delivered. */
  readonly #deletions = new Map<string, number>();
  /** Which lifetime each key is in. */
  readonly #lives = new Map<string, number>();
  #versions = 0;
  #merges = 0;
  /** The versions for which something was left on the entry, as if decoded. */
  readonly #decoded = new Set<number>();

  constructor(log: ConflatingLog, keys: number) {
    this.log = log;
    this.#keys = Array.from({ length: keys }, (_, i) => `k${i}`);
  }

  step(step: Step): void {
    switch (step.do) {
      case "write":
        for (const writes of step.revisions) this.#commit(writes, this.#tell);
        this.log.settle(this.#revision);
        return this.#checkLog();
      case "resync":
        for (const writes of step.revisions) this.#commit(writes, undefined);
        return this.#merge(false);
      case "break":
        this.#commit(step.told, this.#tell);
        this.#revision--;
        this.#commit(step.untold, undefined);
        return this.#merge(false);
      case "rewind":
        this.#rewind(step.back);
        for (const writes of step.revisions) this.#commit(writes, undefined);
        return this.#merge(true);
      case "progress":
        this.#revision += step.by;
        this.log.settle(this.#revision);
        return this.#checkLog();
      case "join": {
        const watcher = new Watcher(this.log.join());
        this.#watchers.push(watcher);
        this.#look(watcher);
        return;
      }
      default:
    }
    if (this.#watchers.length === 0) return;
    const index = step.watcher % this.#watchers.length;
    const watcher = this.#watchers[index] as Watcher;
    switch (step.do) {
      case "next":
        for (let i = 0; i < step.times; i++) this.#next(watcher);
        return;
      case "batch":
        return this.#batch(watcher);
      case "close":
        watcher.cursor.close();
        watcher.cursor.close();
        must(
          watcher.cursor.next() === undefined && watcher.cursor.batch().length === 0,
          "a closed cursor gives nothing",
        );
        this.#watchers = this.#watchers.filter((other) => other !== watcher);
        return;
      default:
        step satisfies never;
    }
  }

  /** Lets every watcher read all there is, so that nothing that went wrong stays hidden. */
  finish(): void {
    for (const [i, watcher] of this.#watchers.entries()) {
      if (i % 2 === 0) this.#batch(watcher);
      else this.#drain(watcher);
    }
    this.step({ do: "join" });
    this.#drain(this.#watchers.at(-1) as Watcher);
    this.#checkNothingIsOwed();
  }

  /** Checks that nothing is left behind now that nobody is owed anything. */
  #checkNothingIsOwed(): void {
    // Enough updates of one key that what is not needed any more has to be gone.
    const many = 50 + 2 * this.log.footprint;
    for (let i = 0; i < many; i++) this.#commit([{ key: 0, value: i }], this.#tell);
    this.log.settle(this.#revision);
    this.#checkLog();
    must(this.log.tombstones === 0, `no deletion is kept that nobody is owed: ${this.log.tombstones}`);
  }

  #drain(watcher: Watcher): void {
    // Nothing changes meanwhile, so each key is given once at most.
    for (let i = 0; i <= this.#keys.length; i++) if (!this.#next(watcher)) return;
    throw new Violation("a pass over the backlog ends");
  }

  #commit(writes: readonly Write[], tell: ((key: string) => void) | undefined): void {
    this.#revision++;
    for (const write of writes) {
      const key = this.#keys[write.key % this.#keys.length] as string;
      if (write.value === undefined) this.#stored.delete(key);
      else {
        const createRevision = this.#stored.get(key)?.createRevision ?? this.#revision;
        this.#stored.set(key, { value: write.value % contents.length, revision: this.#revision, createRevision });
      }
      tell?.(key);
    }
  }

  /** Tells the log of the newest state of a key. */
  readonly #tell = (key: string): void => {
    const stored = this.#stored.get(key);
    if (stored === undefined) {
      this.log.delete(key, this.#revision);
      this.#knowDeleted(key);
    } else {
      this.log.put(key, contentOf(stored), stored.revision, stored.createRevision);
      this.#knowStored(key, stored);
    }
  };

  #merge(rewound: boolean): void {
    const keys: StoredKey[] = [];
    // Bytes of another array each time, in key order: neither identity nor order of what the store gives matters.
    for (const [key, stored] of this.#stored) {
      keys.push({
        key,
        bytes: contentOf(stored).slice(),
        revision: stored.revision,
        createRevision: stored.createRevision,
      });
    }
    keys.sort((a, b) => (a.key < b.key ? -1 : 1));
    const given = [...keys];
    this.#merges++;
    if (this.#merges % 2 === 0) this.log.merge(keys, this.#revision, { rewound });
    else this.#mergeInSteps(keys, rewound);
    must(
      keys.every((stored, i) => stored === given[i]),
      "a merge leaves its argument as it is",
    );
    for (const [key, stored] of this.#stored) this.#knowStored(key, stored);
    if (rewound) {
      for (const key of this.#deletions.keys()) this.#deletions.set(key, this.#revision);
      for (const watcher of this.#watchers) watcher.revision = 0;
    }
    for (const key of this.#known.keys()) if (!this.#stored.has(key)) this.#knowDeleted(key);
    this.#checkLog();
  }

  /** Merges pages of two keys, after a merge that is given up, while watchers come and go between the steps. */
  #mergeInSteps(keys: readonly StoredKey[], rewound: boolean): void {
    const { log } = this;
    const { listed } = log.constructor as typeof ConflatingLog;
    const page = (from: number, to?: number): ListedKey[] =>
      keys
        .slice(from, to)
        .map(({ key, bytes, revision, createRevision }) => listed(key, pack(bytes), revision, createRevision));
    log.beginMerge({ rewound: !rewound }).add(page(0));
    const merge = log.beginMerge({ rewound, stepSize: 1 + (this.#merges % 3) });
    for (let i = 0; i < keys.length; i += 2) merge.add(page(i, i + 2));
    must(!log.merging && log.size === this.#known.size, "what was added is not merged yet");
    const steps = merge.commit(this.#revision);
    for (let n = this.#merges; steps.next().done !== true; n++) {
      must(log.merging, "a merge tells that it is under way");
      if (n % 7 === 0) this.#watchers.push(new Watcher(log.join()));
      if (n % 11 === 0) this.#watchers.shift()?.cursor.close();
    }
    must(!log.merging, "a merge comes to its end");
  }

  #rewind(back: number): void {
    const checkpoint = back === 0 ? undefined : this.#checkpoints.at(-back);
    this.#checkpoints.push({ revision: this.#revision, stored: new Map(this.#stored) });
    this.#revision = checkpoint?.revision ?? 1 + (this.#revision % 7);
    this.#stored = new Map(checkpoint?.stored);
  }

  #knowStored(key: string, stored: Stored): void {
    const known = this.#known.get(key);
    const same = known?.value === stored.value && known.createRevision === stored.createRevision;
    if (known === undefined) this.#lives.set(key, (this.#lives.get(key) ?? 0) + 1);
    this.#known.set(key, { ...stored, version: same ? known.version : ++this.#versions });
    this.#deletions.delete(key);
  }

  #knowDeleted(key: string): void {
    if (this.#known.delete(key)) this.#deletions.set(key, this.#revision);
  }

  #next(watcher: Watcher): boolean {
    watcher.asked = true;
    watcher.seen = undefined;
    const entry = watcher.cursor.next();
    must(!watcher.cursor.pristine, "a cursor that was asked is not pristine");
    if (entry !== undefined) this.#give(watcher, entry);
    if (entry === undefined || this.#isUpToDate(watcher)) this.#endPass(watcher);
    return entry !== undefined;
  }

  #batch(watcher: Watcher): void {
    must(watcher.cursor.pristine === !watcher.asked, "a cursor is pristine until it is asked");
    watcher.asked = true;
    const shown = this.#look(watcher);
    // Who has looked at all changes need not take them.
    const skips = this.#versions % 2 === 0;
    if (skips) watcher.cursor.skip();
    const changes = skips ? shown : watcher.cursor.batch();
    must(
      shown.length === changes.length && shown.every((entry, i) => entry === changes[i]),
      "looking ahead shows what the batch will hold",
    );
    must(!watcher.cursor.pristine, "a cursor that was asked is not pristine");
    for (const entry of changes) this.#give(watcher, entry);
    this.#endPass(watcher);
    this.#look(watcher);
  }

  /** What the watcher is owed. */
  #look(watcher: Watcher): LogEntry[] {
    const { log } = this;
    const shown: LogEntry[] = [];
    const show = (entry: LogEntry): void => void shown.push(entry);
    let looked: number | undefined = 0;
    for (let i = 0; looked !== undefined; i++) {
      must(i <= log.footprint, "looking ahead comes to an end");
      looked = watcher.cursor.look(looked, log.head, 2, show);
    }
    must(shown.length <= watcher.cursor.most, "there are no more changes than a cursor says there may be");
    const owed = shown.map(({ key, revision, live }) => `${key} ${revision} ${live}`).join();
    if (watcher.seen?.version === log.version) must(watcher.seen.owed === owed, "a version of the log is one state");
    watcher.seen = { version: log.version, owed };
    return shown;
  }

  /** Checks one change, and that it is owed. */
  #give(watcher: Watcher, entry: LogEntry): void {
    const { key, revision } = entry;
    const told = watcher.told.get(key);
    const known = this.#known.get(key);
    must(revision >= watcher.revision, `revisions do not decrease: ${key} at ${revision} after ${watcher.revision}`);
    must(revision <= this.#revision, `nothing is newer than the state: ${key} at ${revision}`);
    watcher.revision = revision;
    if (entry.live) {
      must(known !== undefined, `a put is of a key that exists: ${key}`);
      must(told?.version !== known.version, `a put is of a key that changed: ${key}`);
      this.#checkLive(entry, known);
      watcher.told.set(key, { version: known.version, life: this.#lives.get(key) ?? 0 });
    } else {
      must(known === undefined, `a delete is of a key that does not exist: ${key}`);
      must(told !== undefined, `a delete is of a key the watcher was handed: ${key}`);
      must(revision === this.#deletions.get(key), `a delete has its revision: ${key} at ${revision}`);
      must(entry.bytes.length === 0 && entry.createRevision === 0, `a delete has no bytes: ${key}`);
      must(entry.decoded === undefined, `a delete has nothing decoded: ${key}`);
      watcher.told.delete(key);
    }
  }

  /** Checks that the watcher knows everything. */
  #endPass(watcher: Watcher): void {
    must(this.#isUpToDate(watcher), "at the end of a pass nothing is missing");
    must(watcher.cursor.footprint === 0, "a cursor that knows everything lists nothing");
    watcher.base = new Map(watcher.told);
    watcher.seen = undefined;
  }

  #isUpToDate({ told }: Watcher): boolean {
    if (told.size !== this.#known.size) return false;
    for (const [key, { version }] of this.#known) if (told.get(key)?.version !== version) return false;
    return true;
  }

  /** Checks what the log holds; and that this is not more than it needs. */
  #checkLog(): void {
    const { log } = this;
    must(log.revision === this.#revision, `the log is at the store's revision: ${log.revision}`);
    must(log.size === this.#known.size, `the log holds the live keys: ${log.size}`);
    let revision = 0;
    let count = 0;
    for (const entry of log.entries()) {
      const known = this.#known.get(entry.key);
      must(known !== undefined && log.get(entry.key) === entry, `an entry is of a live key: ${entry.key}`);
      this.#checkLive(entry, known);
      must(entry.revision >= revision, "entries are in revision order");
      revision = entry.revision;
      count++;
    }
    must(count === this.#known.size, `there is an entry for each live key: ${count}`);
    for (const key of this.#deletions.keys())
      must(log.get(key) === undefined, `there is no entry for a deleted key: ${key}`);
    this.#checkFootprint();
  }

  #checkLive(entry: LogEntry, known: Known): void {
    must(entry.live, `a live key is live: ${entry.key}`);
    must(sameBytes(entry.bytes, contentOf(known)), `the bytes are the store's: ${entry.key}`);
    must(entry.revision === known.revision, `the revision is the store's: ${entry.key} at ${entry.revision}`);
    must(entry.createRevision === known.createRevision, `the creation is the store's: ${entry.key}`);
    // What was decoded stays as long as it is of these bytes: here the version stands for it.
    must(
      entry.decoded === undefined || entry.decoded === known.version,
      `what was decoded is of these bytes: ${entry.key}`,
    );
    must(entry.decoded !== undefined || !this.#decoded.has(known.version), `what was decoded is kept: ${entry.key}`);
    entry.decoded = known.version;
    this.#decoded.add(known.version);
  }

  /** Checks that memory follows live keys, deletions that are owed, and cursors, each of which is small. */
  #checkFootprint(): void {
    const owed = new Set<string>();
    let pairs = 0;
    for (const { told, base } of this.#watchers) {
      for (const held of [told, base]) {
        for (const [key, { life }] of held) {
          if (this.#known.has(key) && this.#lives.get(key) === life) continue;
          owed.add(key);
          pairs++;
        }
      }
    }
    const { log } = this;
    const entries = this.#known.size + owed.size;
    const limit = 4 * (entries + pairs) + 2 * this.#watchers.length + 64;
    must(
      log.footprint <= limit,
      `memory follows what is owed: ${log.footprint} for ${entries} entries, ${pairs} holders`,
    );
    for (const { cursor } of this.#watchers) {
      must(cursor.footprint <= log.size + log.tombstones, "a cursor lists nothing the log has forgotten");
    }
  }
}

function contentOf(stored: Stored): Uint8Array {
  return contents[stored.value] as Uint8Array;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function must(holds: boolean, rule: string): asserts holds {
  if (!holds) throw new Violation(rule);
}

/** Draws a run's steps. Runs differ in what they are mostly made of, so that rare combinations are met somewhere. */
class Steps {
  readonly #random: Random;
  readonly #keys: number;
  readonly #weights: ReadonlyArray<readonly [Step["do"], number]>;
  readonly #deletes: number;

  constructor(random: Random, keys: number) {
    this.#random = random;
    this.#keys = keys;
    this.#deletes = random.pick([0.1, 0.3, 0.5]);
    this.#weights = [
      ["write", 12],
      ["resync", random.pick([0, 0, 2])],
      ["break", random.pick([0, 0, 1])],
      ["rewind", random.pick([0, 0, 2])],
      ["progress", 1],
      ["join", 2],
      ["next", random.pick([1, 6, 12])],
      ["batch", random.pick([0, 1, 4])],
      ["close", random.pick([0, 1, 1])],
    ];
  }

  draw(): Step {
    const random = this.#random;
    const kind = this.#kind();
    switch (kind) {
      case "write":
      case "resync":
        return { do: kind, revisions: this.#revisions() };
      case "break":
        return { do: kind, told: this.#writes(), untold: this.#writes() };
      case "rewind":
        return { do: kind, back: random.below(4), revisions: this.#revisions() };
      case "progress":
        return { do: kind, by: random.below(3) };
      case "join":
        return { do: kind };
      case "next":
        return { do: kind, watcher: random.below(8), times: 1 + random.below(3) };
      case "batch":
      case "close":
        return { do: kind, watcher: random.below(8) };
    }
  }

  #kind(): Step["do"] {
    let total = 0;
    for (const [, weight] of this.#weights) total += weight;
    let ticket = this.#random.below(total);
    for (const [kind, weight] of this.#weights) {
      ticket -= weight;
      if (ticket < 0) return kind;
    }
    return "write";
  }

  #revisions(): Write[][] {
    return Array.from({ length: 1 + this.#random.below(3) }, () => this.#writes());
  }

  #writes(): Write[] {
    return Array.from({ length: 1 + this.#random.below(3) }, () => ({
      key: this.#random.below(this.#keys),
      value: this.#random.next() < this.#deletes ? undefined : this.#random.below(contents.length),
    }));
  }
}

/** Drives a log of class `Log` through random runs until it violates a rule. Returns the violation, if there is one. */
export function findViolation(
  Log: LogClass,
  random: Random,
  runs: number,
): { readonly run: number; readonly error: unknown } | undefined {
  for (let i = 0; i < runs; i++) {
    const keys = random.pick([1, 2, 3, 5, 8, 40]);
    const steps = new Steps(random, keys);
    const run = new Run(new Log(), keys);
    try {
      for (let n = 10 + random.below(90); n > 0; n--) run.step(steps.draw());
      run.finish();
    } catch (error) {
      return { run: i, error };
    }
  }
  return undefined;
}
