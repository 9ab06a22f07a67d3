/**
 * Writes: a put, a delete, or a transaction, and what came of one whose answer was lost.
 *
 * The transport's word that a request may have been sent leaves three cases: it was carried out, it was not and never
 * will be, or it is still under way, in the queue of a member that nobody hears from. Sending it again is safe only where
 * it cannot be carried out twice: where the first of the two makes the condition of the other false. That is so where a
 * key that is written has to be at a certain revision, since no key is at the same revision again.
 *
 * Looking at such a key, at revision R before, tells:
 *
 * - It is still at R: nothing was carried out so far. Send it again.
 * - What first followed R is not what was to be written: somebody else was first, and the write is in conflict for good.
 * - What first followed R is what was to be written, and bound to the lease it was to be bound to: it was carried out.
 *   Nobody else writes with that lease.
 * - The same without a lease: it was carried out, or somebody else has written just the same. The store does not say who
 *   wrote; two that count from 5 to 6 both find the 6. So it stays unclear.
 *
 * A key that was to be absent may be absent again: only a lease tells there.
 */
import { type EventValueError, isEventValueError } from "../errors.ts";
import { follow } from "../internal/abort.ts";
import type { Change, Commit, Condition, Outcome } from "../keyspace/store.ts";
import type { StoredKey } from "../range/conflating-log.ts";
import { holds } from "../range/packed.ts";
import type { Client } from "./client.ts";
import type { KeyNames } from "./namespace.ts";
import {
  type Compare,
  CompareResult,
  CompareTarget,
  type RequestOp,
  type TxnResponse,
} from "./proto/generated/etcd.ts";
import type { KeyRecord } from "./proto/hot-decoders.ts";
import { deleteRange, put, range as rangeMethod, txn } from "./proto/methods.ts";

export class Commits {
  readonly #client: Client;
  readonly #names: KeyNames;

  constructor(client: Client, names: KeyNames) {
    this.#client = client;
    this.#names = names;
  }

  /** See `Store.commit`. */
  async make(commit: Commit, signal: AbortSignal | undefined): Promise<Outcome> {
    const { conditions, changes } = commit;
    const [change] = changes;
    if (conditions.length === 0 && changes.length === 1 && change !== undefined) return this.#one(change, signal);
    for (;;) {
      try {
        return await this.#transaction(commit, signal);
      } catch (error) {
        if (!isEventValueError(error, "EV_UNAVAILABLE") || !error.maybeApplied) throw error;
        const outcome = await this.#look(commit, error, signal);
        if (outcome !== "again") return outcome;
      }
    }
  }

  async #one(change: Change, signal: AbortSignal | undefined): Promise<Outcome> {
    const options = { signal, key: change.key };
    if (change.type === "put") {
      const { header } = await this.#client.call(put, this.#putRequest(change), options);
      return { type: "applied", revision: header?.revision ?? 0, deleted: 0 };
    }
    const request = { key: this.#names.toStore(change.key) };
    const { header, deleted } = await this.#client.call(deleteRange, request, options);
    return { type: "applied", revision: header?.revision ?? 0, deleted };
  }

  async #transaction({ conditions, changes }: Commit, signal: AbortSignal | undefined): Promise<Outcome> {
    const answer = await this.#client.call(
      txn,
      {
        compare: conditions.map((condition) => this.#compare(condition)),
        success: changes.map((change) => this.#operation(change)),
        failure: conditions.map(({ key }): RequestOp => ({
          request: { $case: "requestRange", value: { key: this.#names.toStore(key) } },
        })),
      },
      { signal, key: (changes[0] ?? conditions[0])?.key },
    );
    if (!answer.succeeded) return { type: "conflict", found: this.#found(answer, conditions) };
    return { type: "applied", revision: answer.header?.revision ?? 0, deleted: deletedBy(answer) };
  }

  /** An absent key compares as one of revision 0. */
  #compare({ key, revision }: Condition): Compare {
    return {
      key: this.#names.toStore(key),
      target: CompareTarget.MOD,
      result: CompareResult.EQUAL,
      targetUnion: { $case: "modRevision", value: revision },
    };
  }

  #operation(change: Change): RequestOp {
    return change.type === "put"
      ? { request: { $case: "requestPut", value: this.#putRequest(change) } }
      : { request: { $case: "requestDeleteRange", value: { key: this.#names.toStore(change.key) } } };
  }

  #putRequest({ key, bytes, lease }: Change & { type: "put" }): { key: Uint8Array; value: Uint8Array; lease?: string } {
    return { key: this.#names.toStore(key), value: bytes, ...(lease === undefined ? undefined : { lease }) };
  }

  #found({ responses }: TxnResponse, conditions: readonly Condition[]): (StoredKey | undefined)[] {
    return conditions.map(({ key }, i) => {
      const found = responses[i]?.response;
      const record = found?.$case === "responseRange" ? found.value.kvs[0] : undefined;
      return record && storedKey(key, record);
    });
  }

  /** The answer was lost, with `error`: finds out what came of it, and gives up after the time a call may take. */
  async #look(commit: Commit, error: EventValueError, signal: AbortSignal | undefined): Promise<Outcome | "again"> {
    const witness = witnessOf(commit);
    if (witness === undefined) throw error;
    const late = new AbortController();
    const following = follow(late, signal);
    const timer = setTimeout(() => late.abort(error), this.#client.requestTimeoutMs);
    try {
      return await this.#judge(witness, error, late.signal);
    } catch (failure) {
      signal?.throwIfAborted();
      // What cannot be looked at, for whatever reason, cannot be resolved.
      throw isEventValueError(failure, "EV_CLOSED") ? failure : error;
    } finally {
      clearTimeout(timer);
      following.unlink();
    }
  }

  async #judge({ change, since }: Witness, error: EventValueError, signal: AbortSignal): Promise<Outcome | "again"> {
    const { key } = change;
    const { record: current, revision } = await this.#read(key, undefined, signal);
    const unclear = (): Outcome => ({ type: "unclear", found: current && storedKey(key, current), error });
    if (since === 0) {
      const first = current && (await this.#read(key, current.createRevision, signal)).record;
      return first !== undefined && isBy(first, change) === true ? applied(first) : unclear();
    }
    if (current?.modRevision === since) return "again";
    const next = await this.#firstAfter(since, current?.modRevision ?? revision, key, signal);
    const mine = isBy(next, change);
    // In conflict for good, so it can be sent again to learn with what.
    if (mine === false) return "again";
    return mine === true && next !== undefined ? applied(next) : unclear();
  }

  /** What first followed the key's revision `since`; it was something else at `until`. */
  async #firstAfter(since: number, until: number, key: string, signal: AbortSignal): Promise<KeyRecord | undefined> {
    let low = since;
    let high = until;
    let found = (await this.#read(key, high, signal)).record;
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      const { record } = await this.#read(key, middle, signal);
      if (record?.modRevision === since) low = middle;
      else {
        high = middle;
        found = record;
      }
    }
    return found;
  }

  /** The key as it was at `revision`, or as it is, with the store's revision. */
  async #read(
    key: string,
    revision: number | undefined,
    signal: AbortSignal,
  ): Promise<{ record: KeyRecord | undefined; revision: number }> {
    const request = { key: this.#names.toStore(key), ...(revision === undefined ? undefined : { revision }) };
    const { header, kvs } = await this.#client.call(rangeMethod, request, { signal, key });
    return { record: kvs[0], revision: header.revision };
  }
}

/** A key that is written, and the revision it has to be at before. */
interface Witness {
  readonly change: Change;
  readonly since: number;
}

/** The one of a commit's keys that tells most. */
function witnessOf({ conditions, changes }: Commit): Witness | undefined {
  const tells = ({ change, since }: Witness): number =>
    (since > 0 ? 2 : 0) + (change.type === "put" && change.lease !== undefined ? 1 : 0);
  let best: Witness | undefined;
  for (const change of changes) {
    const since = conditions.find(({ key }) => key === change.key)?.revision;
    if (since === undefined) continue;
    const witness = { change, since };
    if (best === undefined || tells(witness) > tells(best)) best = witness;
  }
  return best;
}

/** Whether `change` made the key what `record` tells, if it is the first after the change's condition held; or unknown. */
function isBy(record: KeyRecord | undefined, change: Change): boolean | undefined {
  if (change.type === "delete") return record === undefined ? undefined : false;
  if (record === undefined || !holds(record.value, change.bytes)) return false;
  if (record.lease !== (change.lease ?? "0")) return false;
  return change.lease === undefined ? undefined : true;
}

function applied({ modRevision }: KeyRecord): Outcome {
  // Deletions are not told of a transaction.
  return { type: "applied", revision: modRevision, deleted: 0 };
}

function storedKey(key: string, found: Omit<KeyRecord, "rawKey" | "key">): StoredKey {
  const { value, modRevision, createRevision } = found;
  return { key, bytes: value, revision: modRevision, createRevision };
}

function deletedBy({ responses }: TxnResponse): number {
  let deleted = 0;
  for (const { response } of responses) {
    if (response?.$case === "responseDeleteRange") deleted += response.value.deleted;
  }
  return deleted;
}
