/** Writes of a keyspace: puts, deletes, updates and transactions, on a condition or without. */
import type { Codec } from "../codec.ts";
import { errorOf, type EventValueError } from "../errors.ts";
import { checkOptions, checkValue, type Known, mustBe } from "../internal/arguments.ts";
import { sleep } from "../internal/backoff.ts";
import type { WriteOptions } from "../keyspace.ts";
import type { StoredKey } from "../range/conflating-log.ts";
import { versionedOf } from "../range/decoding.ts";
import { quoted } from "../range/keys.ts";
import { holds } from "../range/packed.ts";
import { type Change, type Commit, type Condition, isMet, type Outcome, type Store } from "./store.ts";
import { checkLease, checkRevision } from "./arguments.ts";
import { Turns } from "./turns.ts";

const writeOptions: Known = { signal: "AbortSignal", ifRevision: "number", lease: "any" };

/** Refuses options that are not those of a write. */
export function checkWriteOptions(options: WriteOptions | undefined, what: string): void {
  if (options === undefined) return;
  checkOptions(options, writeOptions, what);
  checkRevision(options.ifRevision ?? 0, `${what}: ifRevision`);
  checkLease(options.lease, what);
}

/** The bytes to store. @throws at the call, what is wrong with the value */
export function encodeValue<T>(codec: Codec<T>, value: T, key: string): Uint8Array {
  checkValue(value);
  const bytes: unknown = codec.encode(value, key);
  if (!(bytes instanceof Uint8Array)) throw mustBe("what the codec's encode() returns", "a Uint8Array", bytes);
  return bytes;
}

/** A key as transactions write it. */
export interface Operand<in T> {
  /** That of its keyspace. */
  readonly writer: Writer;
  readonly key: string;
  encode(value: T): Uint8Array;
}

/** How a key is changed by an update. */
export interface Update<T> {
  readonly key: string;
  readonly codec: Codec<T>;
  /** What an absent key counts as. */
  readonly absent: unknown;
  readonly change: (current: never) => T;
}

/**
 * An update that lost waits up to {@link giveWayMs} before it tries again; once it has lost {@link patience} times, the
 * less the more often it has: who is there for long goes first.
 *
 * Measured with keyspaces of their own connections on one etcd 3.5, all on two cores (Node 20, medians of 5 to 9 runs
 * that scatter by a third): time, transactions for each update, and the update that took longest.
 *
 *     waits up to        100 update once     8 update 30 times each
 *     0                  1630 ms   44        575 ms   6.0
 *     32 / lost          1260 ms   42        350 ms   2.7   180 ms
 *     32, 256 / lost      730 ms   24        330 ms   1.3   290 ms
 *     32                  890 ms   19        290 ms   1.3   280 ms
 *     2^lost, to 64      1310 ms   17        440 ms   1.3
 *
 * Where a round trip takes 10 ms, 100 need 2.4 s whatever they wait, since somebody gets through in each; and of 8 that
 * go on, the update that takes longest takes 1240 ms with 32, and 650 ms with 256 / lost.
 */
const giveWayMs = 32;
const patience = 8;

/**
 * Writes of one key take turns, in the order of their calls: sent at the same time the store would make them in any
 * order, and what was set last need not be what is there in the end. So updates of a keyspace do not compete, either.
 */
export class Writer {
  readonly #store: Store;
  readonly #turns = new Turns();

  constructor(store: Store) {
    this.#store = store;
  }

  async put(key: string, bytes: Uint8Array, options: WriteOptions = {}): Promise<{ revision: number }> {
    const outcome = await this.#commit({ type: "put", key, bytes, lease: options.lease?.id }, options);
    return { revision: outcome.revision };
  }

  async delete(key: string, options: WriteOptions = {}): Promise<{ revision: number; deleted: boolean }> {
    const { revision, deleted } = await this.#commit({ type: "delete", key }, options);
    return { revision, deleted: deleted > 0 };
  }

  async transaction(commit: Commit, signal: AbortSignal | undefined): Promise<{ revision: number }> {
    const keys = commit.changes.map(({ key }) => key);
    return this.#turns.take(keys, signal, async () => {
      const outcome = await this.#store.commit(commit, signal);
      return { revision: orThrow(outcome, commit).revision };
    });
  }

  /** Reads, changes and writes a key until nobody else wrote it in between. */
  async update<T>(update: Update<T>, options: WriteOptions = {}): Promise<{ revision: number }> {
    return this.#turns.take([update.key], options.signal, () => this.#update(update, options));
  }

  async #update<T>({ key, codec, absent, change }: Update<T>, options: WriteOptions): Promise<{ revision: number }> {
    const { signal, ifRevision, lease } = options;
    const compute = (stored: StoredKey | undefined): Uint8Array => {
      const decode = (bytes: Uint8Array, name: string): T => codec.decode(bytes, name);
      const value = change((stored === undefined ? absent : versionedOf(stored, decode).value) as never);
      // Whatever the codec: it is what a function gives that forgets to give anything.
      if (value === undefined) throw new TypeError("update(): change must return a value, not undefined");
      return encodeValue(codec, value, key);
    };
    const { keys } = await this.#store.source({ key }).read(signal, key);
    let [current] = keys;
    for (let lost = 1; ; lost++) {
      const bytes = compute(current);
      const conditions = [{ key, revision: ifRevision ?? current?.revision ?? 0, of: "last write" as const }];
      const commit: Commit = { conditions, changes: [{ type: "put", key, bytes, lease: lease?.id }] };
      const outcome = await this.#store.commit(commit, signal);
      // What would not change it any more is done, whoever did it.
      if (
        outcome.type === "unclear" &&
        outcome.found !== undefined &&
        ifRevision === undefined &&
        lease === undefined
      ) {
        if (holds(compute(outcome.found), outcome.found.bytes)) return { revision: outcome.found.revision };
      }
      if (outcome.type !== "conflict" || ifRevision !== undefined)
        return { revision: orThrow(outcome, commit).revision };
      [current] = outcome.found;
      await sleep(Math.random() * giveWayMs * Math.min(1, patience / lost), signal ?? this.#store.closed);
    }
  }

  async #commit(change: Change, { ifRevision, signal }: WriteOptions): Promise<Outcome & { type: "applied" }> {
    const conditions =
      ifRevision === undefined ? [] : [{ key: change.key, revision: ifRevision, of: "last write" as const }];
    const commit: Commit = { conditions, changes: [change] };
    return this.#turns.take([change.key], signal, async () =>
      orThrow(await this.#store.commit(commit, signal), commit),
    );
  }
}

/** @throws `EV_CONFLICT`, and what is unclear */
function orThrow(outcome: Outcome, { conditions }: Commit): Outcome & { type: "applied" } {
  if (outcome.type === "applied") return outcome;
  throw outcome.type === "unclear" ? outcome.error : conflictOf(outcome.found, conditions);
}

function conflictOf(found: readonly (StoredKey | undefined)[], conditions: Commit["conditions"]): EventValueError {
  const failed = conditions.findIndex((condition, i) => !isMet(condition, found[i]));
  const { key, revision } = conditions[failed] as Condition;
  const currentRevision = found[failed]?.revision ?? 0;
  const is = (at: number): string => (at === 0 ? "absent" : `at revision ${at}`);
  const message = `${quoted(key)} is ${is(currentRevision)}, expected it ${is(revision)}`;
  return errorOf("EV_CONFLICT", message, { key, currentRevision });
}
