/** A consumer's copy of a range, made of nothing but what its watcher delivered, which it holds to K3, K4 and K5. */
import type { Batch, KeyUpdate, RangeWatcher } from "../../src/keyspace.ts";

/** What a replica knows of a key. */
export interface Known {
  readonly value: string;
  readonly revision: number;
  readonly createRevision: number;
}

type Change = Batch<string>["changes"][number];

/** Throws at the first delivery that breaks a promise, which it quotes. */
export class Replica {
  readonly map: Map<string, Known> = new Map();
  /** The revision of the last change. */
  revision = 0;
  /** How many changes came. */
  changes = 0;
  /** How many reads were delivered, and how many gets were tried. */
  #reads = 0;
  #tries = 0;
  #stepsDown = 0;
  readonly #rewinds: () => number;
  /** Everything that was delivered, for the message. */
  readonly #log: string[] = [];

  /** `rewinds` tells how many histories the store had before this one (K7). */
  constructor(rewinds: () => number = () => 0) {
    this.#rewinds = rewinds;
  }

  /** Takes the next change. */
  async get(watcher: RangeWatcher<string>, options?: { readonly backlogOnly?: boolean }): Promise<KeyUpdate<string>> {
    this.#tries++;
    const change = await watcher.get(options);
    this.#reads++;
    this.#log.push(describe(change));
    this.#apply(change);
    return change;
  }

  /** Takes the next batch. */
  async getBatch(watcher: RangeWatcher<string>, options?: { readonly backlogOnly?: boolean }): Promise<Batch<string>> {
    const batch = await watcher.getBatch(options);
    const { type, revision, changes } = batch;
    this.#log.push(`${type} at ${revision}: ${changes.map(describe).join(", ")}`);
    // A get that found nothing may count as the first read, or not.
    const isFirst = this.#reads === 0 && (this.#tries === 0 || type === "snapshot");
    if ((type === "snapshot") !== isFirst) this.#fail("K4 the first read, if it is a getBatch, is the only snapshot");
    if (type === "update" && changes.length === 0) this.#fail("K4 an update has changes");
    this.#reads++;
    if (new Set(changes.map(({ key }) => key)).size < changes.length) this.#fail("K3 each key at most once in a batch");
    for (const change of changes) {
      if (change.revision > revision) this.#fail("K4 a batch brings the consumer to the state at its revision");
      this.#apply(change);
    }
    if (revision < this.revision) this.#fail("K4 a batch brings the consumer to the state at its revision");
    return batch;
  }

  /** The values alone. */
  values(): Record<string, string> {
    return Object.fromEntries([...this.map].map(([key, { value }]) => [key, value]));
  }

  #apply(change: Change): void {
    this.changes++;
    const { key, revision } = change;
    if (revision < this.revision && ++this.#stepsDown > this.#rewinds()) this.#fail("K3 revisions do not decrease");
    this.revision = revision;
    const known = this.map.get(key);
    if (change.type === "delete") {
      if (known === undefined) this.#fail("K5 a delete goes only to a watcher that was handed the key");
      this.map.delete(key);
    } else if (change.type === "put") {
      const { value, createRevision } = change;
      if (createRevision > revision) this.#fail("a key is created before it is written");
      if (known?.revision === revision && this.#rewinds() === 0) this.#fail("K3 a change is delivered once");
      this.map.set(key, { value, revision, createRevision });
    } else throw change.error;
  }

  #fail(promise: string): never {
    throw new Error(`broken: ${promise}\nthe last deliveries:\n${this.#log.slice(-30).join("\n")}`);
  }
}

function describe(change: Change): string {
  const { type, key, revision } = change;
  const value = change.type === "put" ? ` = ${change.value.slice(0, 20)} (created at ${change.createRevision})` : "";
  return `${type} ${key}${value} at ${revision}`;
}
