/**
 * Elections: who leads is whose key came first, of those that are still there.
 *
 * A candidate writes a key that is bound to a lease of its own, and leads from the moment when no older candidate's key
 * is there: the store's own order of revisions decides, so there is one leader at most at each of its revisions. A key
 * that was deleted comes back as a new one, younger than all. Nothing is asked of the store while a candidate waits: it
 * watches.
 *
 * A key is the election's name, a slash, and the lease's id in hexadecimal. That is how etcd's own recipe names them
 * (client/v3/concurrency/election.go), and the rule is the same, so candidates of both may meet in one election.
 */
import { type Decode, text } from "../codec.ts";
import { errorOf, type EventValueError, isEventValueError } from "../errors.ts";
import { follow } from "../internal/abort.ts";
import { checkOptions, type Known } from "../internal/arguments.ts";
import { Backoff } from "../internal/backoff.ts";
import { asyncDisposable } from "../internal/dispose.ts";
import { quietly } from "../internal/quiet.ts";
import type {
  Batch,
  CampaignOptions,
  Election,
  Keyspace,
  KeyValue,
  Leadership,
  Lease,
  TransactionOperation,
} from "../keyspace.ts";
import { derive, SKIP, type Step } from "../operators/derived.ts";
import { quoted } from "../range/keys.ts";
import { watchBatches } from "../range/watchers.ts";
import type { Watchable, Watcher } from "../watchable.ts";
import { checkMs } from "./arguments.ts";
import type { Source } from "./store.ts";
import { ifCreated } from "./transaction.ts";

/** What an election tells of its leader. */
interface Leader {
  readonly value: string;
  readonly revision: number;
}

const campaignOptions: Known = { signal: "AbortSignal", ttlMs: "number" };

const lossy = new TextDecoder("utf-8", { ignoreBOM: true });

/** Candidates are counted whatever somebody else has written to their keys. */
const candidateValue: Decode<string> = (bytes) => lossy.decode(bytes);

export class StoredElection implements Election {
  readonly leader: Watchable<Leader | undefined>;
  readonly #keyspace: Keyspace;
  readonly #prefix: string;
  readonly #candidates: Watchable<Batch<string>>;

  /** `source` is of the keys that begin with `prefix`. */
  constructor(keyspace: Keyspace, prefix: string, source: Source) {
    this.#keyspace = keyspace;
    this.#prefix = prefix;
    this.#candidates = { watch: (options) => watchBatches(source.enter(), candidateValue, options) };
    this.leader = derive(this.#candidates, () => leading(prefix));
  }

  campaign(value: string, options: CampaignOptions = {}): Promise<Leadership> {
    text.encode(value, this.#prefix);
    checkOptions(options, campaignOptions, "campaign()");
    const { ttlMs = 10_000, signal } = options;
    checkMs(ttlMs, "campaign(): ttlMs");
    return quietly(this.#campaign(value, ttlMs, signal));
  }

  async #campaign(value: string, ttlMs: number, signal: AbortSignal | undefined): Promise<Leadership> {
    const lease = await this.#keyspace.lease({ ttlMs, signal });
    // Nobody else knows the id of the lease, so nobody else has this key.
    const key = this.#keyspace.value(this.#prefix + BigInt(lease.id).toString(16), text);
    const over = new AbortController();
    const following = [follow(over, signal), follow(over, lease.lost)];
    let watcher: Watcher<Batch<string>> | undefined;
    try {
      const revision = await this.#enter(key, value, lease, over.signal);
      watcher = this.#candidates.watch();
      const field = new Field(this.#prefix, key.key, revision);
      while (!field.isWon) {
        field.take(await watcher.get({ signal: over.signal }));
        if (field.isLost) throw lostKey(key.key);
      }
      return new ElectedLeadership(key, revision, lease, watcher, field);
    } catch (error) {
      watcher?.close();
      lease.close().catch(() => {});
      throw error;
    } finally {
      for (const entry of following) entry.unlink();
    }
  }

  /** Writes the candidate's key, and returns its revision. Where an answer was lost the key may be there already. */
  async #enter(key: KeyValue<string>, value: string, lease: Lease, signal: AbortSignal): Promise<number> {
    for (const backoff = new Backoff(); ;) {
      try {
        return (await key.set(value, { lease, ifRevision: 0, signal })).revision;
      } catch (error) {
        if (isEventValueError(error, "EV_CONFLICT")) return error.currentRevision;
        if (!isEventValueError(error, "EV_UNAVAILABLE")) throw error;
        await backoff.wait(signal);
      }
    }
  }
}

/** Whether the key is a candidate's, and not of an election whose name is below this one's. */
function isCandidate(prefix: string, key: string): boolean {
  return /^[\da-f]+$/.test(key.slice(prefix.length));
}

/** The candidates, as one of them sees them. */
class Field {
  readonly #prefix: string;
  readonly #key: string;
  /** The revision of its key. */
  readonly #revision: number;
  /** Those who are before it. */
  readonly #older = new Set<string>();
  #current = 0;
  #present = false;

  constructor(prefix: string, key: string, revision: number) {
    this.#prefix = prefix;
    this.#key = key;
    this.#revision = revision;
  }

  take(batch: Batch<string>): void {
    for (const change of batch.changes) {
      const { key, type } = change;
      if (!isCandidate(this.#prefix, key)) continue;
      if (type === "delete") this.#older.delete(key);
      else if (type === "put" && change.createRevision < this.#revision) this.#older.add(key);
      if (key === this.#key) this.#present = type === "put" && change.createRevision === this.#revision;
    }
    this.#current = batch.revision;
  }

  get isWon(): boolean {
    return this.#present && this.#older.size === 0;
  }

  /** Its key was there, and is not any more. */
  get isLost(): boolean {
    return !this.#present && this.#current >= this.#revision;
  }
}

class ElectedLeadership implements Leadership {
  declare [Symbol.asyncDispose]: () => Promise<void>;
  readonly revision: number;
  readonly fence: TransactionOperation;
  readonly #key: string;
  readonly #lease: Lease;
  readonly #watcher: Watcher<Batch<string>>;
  readonly #lost = new AbortController();
  readonly #following: { unlink(): void };

  static {
    asyncDisposable(ElectedLeadership.prototype, "resign");
  }

  constructor(key: KeyValue<string>, revision: number, lease: Lease, watcher: Watcher<Batch<string>>, field: Field) {
    this.revision = revision;
    this.fence = ifCreated(key, revision);
    this.#key = key.key;
    this.#lease = lease;
    this.#watcher = watcher;
    this.#following = follow(this.#lost, lease.lost);
    void this.#observe(field);
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  resign(): Promise<void> {
    this.#following.unlink();
    this.#watcher.close();
    return this.#lease.close();
  }

  /** Sees to it that the leadership is lost with its key, which somebody may delete while the lease goes on. */
  async #observe(field: Field): Promise<void> {
    const backoff = new Backoff();
    while (!field.isLost) {
      try {
        field.take(await this.#watcher.get({ signal: this.lost }));
        backoff.reset();
      } catch (error) {
        if (this.lost.aborted || isEventValueError(error, "EV_CLOSED")) break;
        // What is refused for now: the lease still tells.
        await backoff.wait(this.lost).catch(() => {});
      }
    }
    this.#watcher.close();
    if (!field.isLost || this.lost.aborted) return;
    this.#lost.abort(lostKey(this.#key));
    this.#lease.close().catch(() => {});
  }
}

function lostKey(key: string): EventValueError {
  return errorOf("EV_LEASE_NOT_FOUND", `the candidate's key ${quoted(key)} was deleted`, { key });
}

/** Follows the candidates, and tells who leads when that is somebody else, or says something else. */
function leading(prefix: string): Step<Batch<string>, Leader | undefined> {
  const candidates = new Map<string, Leader>();
  let begun = false;
  let told: Leader | undefined;
  return (batch) => {
    for (const change of batch.changes) {
      if (!isCandidate(prefix, change.key)) continue;
      if (change.type !== "put") candidates.delete(change.key);
      else candidates.set(change.key, { value: change.value, revision: change.createRevision });
    }
    let leader: Leader | undefined;
    for (const candidate of candidates.values()) {
      if (leader === undefined || candidate.revision < leader.revision) leader = candidate;
    }
    if (begun && told?.revision === leader?.revision && told?.value === leader?.value) return SKIP;
    begun = true;
    told = leader;
    return leader;
  };
}
