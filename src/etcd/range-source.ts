/** A range of keys in etcd, as a `KeyValue` or `KeyRange` sees it: one feed for all its watchers, and reads. */
import type { Source } from "../keyspace/store.ts";
import type { StoredKey } from "../range/conflating-log.ts";
import type { Feed } from "../range/feed.ts";
import { toEventValueError } from "./errors.ts";
import { list, type StoreRange } from "./list.ts";
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
    this.#context.closing.throwIfAborted();
    try {
      let pages: (readonly StoredKey[])[] = [];
      const { revision } = await list(this.#context, this.#range, signal, () => {
        pages = [];
        return (keys) => void pages.push(keys);
      });
      return { revision, keys: pages.flat() };
    } catch (error) {
      throw error instanceof TransportError ? toEventValueError(error, { key, write: false }) : error;
    }
  }
}
