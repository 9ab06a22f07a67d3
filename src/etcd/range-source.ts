/** A range of keys in etcd, as a `KeyValue` or `KeyRange` sees it: one feed for all its watchers, and reads. */
import type { PackedKey, StoredKey } from "../range/conflating-log.ts";
import type { Feed } from "../range/feed.ts";
import { type Packed, unpack } from "../range/packed.ts";
import type { Client } from "./client.ts";
import { toEventValueError } from "./errors.ts";
import { list, packedKeys, type StoreRange } from "./list.ts";
import type { KeyNames } from "./namespace.ts";
import { range as rangeMethod } from "./proto/methods.ts";
import { RangeFeed, type FeedContext } from "./range-feed.ts";
import { TransportError } from "./transport.ts";
import type { StoreKey } from "./writes.ts";

/** What the ranges of a keyspace share. */
export interface SourceContext extends FeedContext {
  /** The feeds that are in use. */
  readonly feeds: Set<RangeFeed>;
  /** Aborted with an `EV_CLOSED` when the keyspace begins to close: no feed begins any more. */
  readonly closing: AbortSignal;
}

export class RangeSource {
  readonly range: StoreRange;
  readonly context: SourceContext;
  /** There while somebody watches. */
  #feed: RangeFeed | undefined;

  constructor(range: StoreRange, context: SourceContext) {
    this.range = range;
    this.context = context;
  }

  get client(): Client {
    return this.context.client;
  }

  get names(): KeyNames {
    return this.context.names;
  }

  /** The feed, for one more watcher. @throws `EV_CLOSED` once the keyspace is closed */
  enter(): Feed {
    const { closing, feeds, health } = this.context;
    closing.throwIfAborted();
    if (this.#feed === undefined) {
      const feed = new RangeFeed(this.context, this.range, () => {
        feeds.delete(feed);
        health.leave();
        if (this.#feed === feed) this.#feed = undefined;
      });
      this.#feed = feed;
      feeds.add(feed);
      health.enter();
    }
    return this.#feed.entered();
  }

  /** Reads the range, linearizably. `key` is what errors name. */
  async read(signal: AbortSignal | undefined, key?: string): Promise<{ revision: number; keys: StoredKey[] }> {
    try {
      let keys: StoredKey[] = [];
      const { revision } = await list(this.client, this.range, signal, () => {
        keys = [];
        return (records) => {
          for (const key of packedKeys(records, this.names)) keys.push(new HeldKey(key));
        };
      });
      return { revision, keys };
    } catch (error) {
      throw error instanceof TransportError ? toEventValueError(error, { key, write: false }) : error;
    }
  }

  /** Reads one key of the range, linearizably. */
  async readKey(key: StoreKey, signal: AbortSignal | undefined): Promise<StoredKey | undefined> {
    const { kvs } = await this.client.call(rangeMethod, { key: key.bytes }, { signal, key: key.name });
    return kvs[0] === undefined ? undefined : this.names.stored(kvs[0]);
  }
}

/** What is held of a key until all pages are there. */
class HeldKey implements StoredKey {
  readonly key: string;
  readonly revision: number;
  readonly createRevision: number;
  readonly #packed: Packed;

  constructor({ key, packed, revision, createRevision }: PackedKey) {
    this.key = key;
    this.#packed = packed;
    this.revision = revision;
    this.createRevision = createRevision;
  }

  get bytes(): Uint8Array {
    return unpack(this.#packed);
  }
}

/** `promise`, whose rejection may go unnoticed. */
export function quietly<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
