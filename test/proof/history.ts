/**
 * What the store held at each revision of its life, as learnt past the library: what deliveries are held against.
 *
 * Where the cluster is restored from a backup or replaced, revisions begin again; each such life of the store is an
 * *era*, with the states of its own.
 */

/** What a key holds. */
export interface Held {
  readonly value: string;
  readonly created: number;
}

/** A change of a key at a revision; `held` is undefined where it was deleted. */
export interface Version {
  readonly at: number;
  readonly held: Held | undefined;
}

/** One life of the store. */
class Era {
  /** The first revision that is known, and the newest. */
  readonly base: number;
  revision: number;
  /** The versions of each key, oldest first. */
  readonly versions = new Map<string, Version[]>();

  constructor(base: number) {
    this.base = this.revision = base;
  }

  change(key: string, at: number, held: Held | undefined): void {
    const versions = this.versions.get(key);
    if (versions === undefined) this.versions.set(key, [{ at, held }]);
    else versions.push({ at, held });
  }

  version(key: string, revision: number): Version | undefined {
    const versions = this.versions.get(key) ?? [];
    let low = 0;
    let high = versions.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (versions[middle]!.at <= revision) low = middle + 1;
      else high = middle;
    }
    return versions[low - 1];
  }
}

/** One of the versions of a key. */
export interface Place {
  readonly era: number;
  readonly index: number;
}

/** A change that the store told of. */
export interface StoreChange {
  readonly key: string;
  readonly at: number;
  readonly held: Held | undefined;
}

export class StoreHistory {
  readonly #eras: Era[] = [];
  /** When each revision of the present era was acknowledged to a writer: times and revisions, both ascending. */
  readonly #acknowledged: { readonly time: number; readonly revision: number }[] = [];

  /** How many lives the store has had. */
  get eras(): number {
    return this.#eras.length;
  }

  /** The newest revision that is wholly known. */
  get revision(): number {
    return this.#eras.at(-1)?.revision ?? 0;
  }

  /** The store begins (again) with this state. */
  begin(revision: number, state: ReadonlyMap<string, Held & { readonly at: number }>): void {
    const era = new Era(revision);
    for (const [key, { value, created, at }] of state) era.change(key, at, { value, created });
    this.#eras.push(era);
    this.#acknowledged.length = 0;
  }

  /** All the changes of one revision. */
  append(revision: number, changes: readonly StoreChange[]): void {
    const era = this.#eras.at(-1)!;
    if (revision <= era.revision) return;
    for (const { key, at, held } of changes) era.change(key, at, held);
    era.revision = revision;
  }

  /** A writer was told at `time` that the store has come to `revision`. */
  acknowledge(time: number, revision: number): void {
    const newest = this.#acknowledged.at(-1);
    if (newest === undefined || revision > newest.revision) this.#acknowledged.push({ time, revision });
  }

  /** The newest revision that was acknowledged before `time`, in the present era. */
  acknowledgedBefore(time: number): number {
    for (let i = this.#acknowledged.length - 1; i >= 0; i--) {
      const { time: then, revision } = this.#acknowledged[i]!;
      if (then < time) return revision;
    }
    return 0;
  }

  /** Forgets when what was acknowledged before `time`, but for the newest of it. */
  forgetBefore(time: number): void {
    let count = 0;
    while (count + 1 < this.#acknowledged.length && this.#acknowledged[count + 1]!.time < time) count++;
    this.#acknowledged.splice(0, count);
  }

  /** What `key` held at `revision` of `era`; undefined where it was absent. */
  held(era: number, key: string, revision: number): Held | undefined {
    return this.#eras[era]?.version(key, revision)?.held;
  }

  /** Whether `key` was changed after `revision` in a life of the store before the present one. */
  changedBefore(key: string, revision: number): boolean {
    return this.#eras.slice(0, -1).some((era) => (era.versions.get(key)?.at(-1)?.at ?? 0) > revision);
  }

  /** What was written to `key` by the very revision; undefined where nothing was, or it was deleted. */
  written(era: number, key: string, revision: number): Held | undefined {
    const version = this.#eras[era]?.version(key, revision);
    return version?.at === revision ? version.held : undefined;
  }

  /**
   * Where `key` next holds `value` (null: is absent) after `place`; undefined where it never has, as far as is known.
   * The first place of all is one where nothing is held yet.
   */
  next(key: string, value: string | null, place: Place | undefined): Place | undefined {
    let era = place?.era ?? 0;
    let index = place === undefined ? -1 : place.index + 1;
    for (; era < this.#eras.length; era++, index = -1) {
      const versions = this.#eras[era]!.versions.get(key) ?? [];
      for (; index < versions.length; index++) {
        const held = index < 0 ? null : (versions[index]!.held?.value ?? null);
        if (held === value) return { era, index };
      }
    }
    return undefined;
  }

  /** All that was ever written to `key`, oldest first; of what an era began with, the newest. */
  versionsOf(era: number, key: string): readonly Version[] {
    return this.#eras[era]?.versions.get(key) ?? [];
  }

  /** All keys that ever were. */
  *keys(era: number): IterableIterator<string> {
    yield* this.#eras[era]?.versions.keys() ?? [];
  }

  /** The state at `revision` of `era`, of the keys from `start` up to `end`. */
  state(era: number, revision: number, start = "", end = "\u{10ffff}"): Map<string, Held> {
    const state = new Map<string, Held>();
    for (const key of this.keys(era)) {
      if (key < start || key >= end) continue;
      const held = this.held(era, key, revision);
      if (held !== undefined) state.set(key, held);
    }
    return state;
  }
}
