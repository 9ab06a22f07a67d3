/** A range of keys in etcd, as a `KeyValue` or `KeyRange` sees it: one feed for all its watchers, and reads. */
import type { Source } from "../keyspace/store.ts";
import type { PackedKey, StoredKey } from "../range/conflating-log.ts";
import type { Feed } from "../range/feed.ts";
import { asciiOf, type Packed, unpack } from "../range/packed.ts";
import { toEventValueError } from "./errors.ts";
import { list, packedKeys, type StoreRange } from "./list.ts";
import { RangeFeed, type FeedContext } from "./range-feed.ts";
import { TransportError } from "./transport.ts";

/** What the ranges of a keyspace share. */
export interface SourceContext extends FeedContext {
  /** The feeds that are in use. */
  readonly feeds: Set<RangeFeed>;
  /** Aborted with an `EV_CLOSED` when the keyspace begins to close: no feed begins any more. */
  readonly closing: AbortSignal;
}

export class RangeSource implements Source {
  readonly #range: StoreRange;
  readonly #context: SourceContext;
  /** There while somebody watches. */
  #feed: RangeFeed | undefined;

  constructor(range: StoreRange, context: SourceContext) {
    this.#range = range;
    this.#context = context;
  }

  enter(): Feed {
    const { closing, feeds, health } = this.#context;
    closing.throwIfAborted();
    if (this.#feed === undefined) {
      const feed = new RangeFeed(this.#context, this.#range, () => {
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

  async read(signal: AbortSignal | undefined, key?: string): Promise<{ revision: number; keys: StoredKey[] }> {
    const { client, names, closing } = this.#context;
    closing.throwIfAborted();
    try {
      let keys: StoredKey[] = [];
      const { revision } = await list(client, this.#range, signal, () => {
        keys = [];
        return (records) => {
          for (const key of packedKeys(records, names)) keys.push(new HeldKey(key));
        };
      });
      return { revision, keys };
    } catch (error) {
      throw error instanceof TransportError ? toEventValueError(error, { key, write: false }) : error;
    }
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

  get ascii(): string | undefined {
    return asciiOf(this.#packed);
  }
}
