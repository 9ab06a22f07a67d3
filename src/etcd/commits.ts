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
 *   No other keyspace writes with that lease, and this one writes a key once at a time: it was not what was answered with
 *   a revision as new before.
 * - The same without a lease: it was carried out, or somebody else has written just the same. The store does not say who
 *   wrote; two that count from 5 to 6 both find the 6. So it stays unclear.
 *
 * A key that was to be absent may be absent again: only a lease tells there.
 *
 * What was sent again may be in conflict with itself, and not with somebody else:
 *
 *     first request     sent ······ its answer does not come ·············· carried out: 5 becomes 6
 *     looking                          still at R, 5: send it again
 *     second request                                   sent ·································· conflict
 *
 * So the conflict of a second request is looked at in just the same way.
 */
import { type EventValueError, isEventValueError } from "../errors.ts";
import { follow } from "../internal/abort.ts";
import { Backoff } from "../internal/backoff.ts";
import { type Change, type Commit, type Condition, isMet, type Outcome } from "../keyspace/store.ts";
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

/** A transaction that only compares changes nothing, and can be repeated at will. */
const compareOnly = { ...txn, write: false };

export class Commits {
  readonly #client: Client;
  readonly #names: KeyNames;
  /** The newest revision that a commit was told to have made. */
  #newest = 0;

  constructor(client: Client, names: KeyNames) {
    this.#client = client;
    this.#names = names;
  }

  /** See `Store.commit`. */
  async make(commit: Commit, signal: AbortSignal | undefined): Promise<Outcome> {
    const { conditions, changes } = commit;
    const [change] = changes;
    const outcome =
      conditions.length === 0 && changes.length === 1 && change !== undefined
        ? await this.#one(change, signal)
        : await this.#insist(commit, signal);
    if (outcome.type === "applied" && outcome.revision > this.#newest) this.#newest = outcome.revision;
    return outcome;
  }

  /** Makes a transaction again until it is known what came of it, or cannot be known. */
  async #insist(commit: Commit, signal: AbortSignal | undefined): Promise<Outcome> {
    const witness = witnessOf(commit);
    /** What was written up to this revision is not the commit's. */
    const after = this.#newest;
    const backoff = new Backoff();
    /** Of the newest attempt whose answer was lost: it may be carried out yet. */
    let lost: EventValueError | undefined;
    for (;;) {
      let conflict: (Outcome & { type: "conflict" }) | undefined;
      try {
        const outcome = await this.#transaction(commit, signal);
        if (outcome.type !== "conflict" || lost === undefined) return outcome;
        conflict = outcome;
      } catch (error) {
        if (!isEventValueError(error, "EV_UNAVAILABLE") || !error.maybeApplied) {
          // What is refused now says nothing of the attempt before, but that a lease is gone: it was there then, or never.
          if (lost === undefined || !isRefusal(error)) throw error;
          throw lost;
        }
        lost = error;
      }
      if (witness === undefined) throw lost;
      const verdict = await this.#look(witness, after, lost, signal);
      if (typeof verdict === "object") return verdict;
      if (conflict !== undefined) {
        if (verdict === "beaten" || isFinal(conflict, commit)) return conflict;
        // What is in the way now may be gone when the earlier attempt is carried out.
        return { type: "unclear", found: conflict.found[commit.conditions.indexOf(witness.condition)], error: lost };
      }
      await backoff.wait(signal ?? this.#client.closed);
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
      changes.length === 0 ? compareOnly : txn,
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
  #compare({ key, revision, of }: Condition): Compare {
    const compared: Pick<Compare, "target" | "targetUnion"> =
      of === "creation"
        ? { target: CompareTarget.CREATE, targetUnion: { $case: "createRevision", value: revision } }
        : { target: CompareTarget.MOD, targetUnion: { $case: "modRevision", value: revision } };
    return { key: this.#names.toStore(key), result: CompareResult.EQUAL, ...compared };
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
  async #look(
    witness: Witness,
    after: number,
    error: EventValueError,
    signal: AbortSignal | undefined,
  ): Promise<Verdict> {
    const late = new AbortController();
    const following = follow(late, signal);
    const timer = setTimeout(() => late.abort(error), this.#client.requestTimeoutMs);
    try {
      return await this.#judge(witness, after, error, late.signal);
    } catch (failure) {
      signal?.throwIfAborted();
      // What cannot be looked at, for whatever reason, cannot be resolved.
      throw isEventValueError(failure, "EV_CLOSED") ? failure : error;
    } finally {
      clearTimeout(timer);
      following.unlink();
    }
  }

  async #judge(
    { change, condition }: Witness,
    after: number,
    error: EventValueError,
    signal: AbortSignal,
  ): Promise<Verdict> {
    const { key, revision: since } = condition;
    const { record: current, revision } = await this.#read(key, undefined, signal);
    if (since > 0 && current?.modRevision === since) return "untouched";
    const next =
      since > 0
        ? await this.#firstAfter(since, current?.modRevision ?? revision, key, signal)
        : current && (await this.#read(key, current.createRevision, signal)).record;
    const by = isBy(next, change);
    // What was to be absent may have been there and gone.
    if (by === "others" && since > 0) return "beaten";
    if (by === "this" && next !== undefined && next.modRevision > Math.max(since, after)) {
      // Deletions are not told of a transaction.
      return { type: "applied", revision: next.modRevision, deleted: 0 };
    }
    return { type: "unclear", found: current && storedKey(key, current), error };
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
  readonly condition: Condition;
}

/**
 * What came of a commit: `untouched` where nothing was done so far, `beaten` where it is in conflict for good; both can
 * be sent again.
 */
type Verdict = (Outcome & { type: "applied" | "unclear" }) | "untouched" | "beaten";

/** The one of a commit's keys that tells most. */
function witnessOf({ conditions, changes }: Commit): Witness | undefined {
  const tells = ({ change, condition }: Witness): number =>
    (condition.revision > 0 ? 2 : 0) + (change.type === "put" && change.lease !== undefined ? 1 : 0);
  let best: Witness | undefined;
  for (const change of changes) {
    const condition = conditions.find(({ key, of }) => key === change.key && of === "last write");
    if (condition === undefined) continue;
    const witness = { change, condition };
    if (best === undefined || tells(witness) > tells(best)) best = witness;
  }
  return best;
}

/** Whether the store has refused the write, of which it might have made an earlier attempt. */
function isRefusal(error: unknown): boolean {
  return isEventValueError(error) && error.code !== "EV_CLOSED" && error.code !== "EV_LEASE_NOT_FOUND";
}

/** Whether the conditions cannot all hold any more: no key is at the same revision again, but it may be absent again. */
function isFinal({ found }: Outcome & { type: "conflict" }, { conditions }: Commit): boolean {
  return conditions.some((condition, i) => condition.revision > 0 && !isMet(condition, found[i]));
}

/** Who made the key what `record` tells, if it is the first after the change's condition held. */
function isBy(record: KeyRecord | undefined, change: Change): "this" | "others" | "either" {
  if (change.type === "delete") return record === undefined ? "either" : "others";
  if (record === undefined || !holds(record.value, change.bytes)) return "others";
  if (record.lease !== (change.lease ?? "0")) return "others";
  return change.lease === undefined ? "either" : "this";
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
