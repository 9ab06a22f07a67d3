/**
 * Reading a range of any size: in pages, all of one revision.
 *
 * The first page is read linearizably and fixes the revision; the others are pinned to it. If that revision is
 * compacted meanwhile, or the store replaced by another, reading begins again. Pages are handed on as they come, and
 * nothing of them is kept here: at any moment there are two at most, one that is handed on and the next, under way.
 *
 * Pages are sized by bytes. One answer of 100,000 keys is two to four times faster than a hundred of 1,000, as the
 * server goes through all keys of the range for each, but both sides hold the whole of it in memory. The store takes
 * only a number of keys, so what a page will hold is guessed from the one before. A guess that was far too high shows
 * by a page that does not come, since the link is too slow for it or the message too big to be sent: then less is
 * asked for, with more time to come.
 */
import { setImmediate as macrotask } from "node:timers/promises";
import { ConflatingLog, type ListedKey } from "../range/conflating-log.ts";
import type { Client } from "./client.ts";
import { classify, isLate } from "./errors.ts";
import { departs } from "./history.ts";
import type { RangeRequest, ResponseHeader } from "./proto/generated/etcd.ts";
import { decodePage, type Page as PageOf } from "./proto/hot-decoders.ts";
import { range as rangeMethod } from "./proto/methods.ts";
import { type Method, TransportError } from "./transport.ts";
import type { KeyNames } from "./namespace.ts";

/** Few, as a value may have megabytes. */
const firstPageKeys = 16;
const pageBytes = 4 << 20;
/** So many keys that decoding them and taking them in takes the event loop 50 ms or so. */
const mostPageKeys = 32_768;
/** How long a page that cannot be made smaller may take. */
const mostPatienceMs = 600_000;

/** A range of keys, in the store's terms. Without `rangeEnd`: one key. */
export interface StoreRange {
  readonly key: Uint8Array;
  readonly rangeEnd: Uint8Array | undefined;
}

type Page = PageOf<ListedKey>;

/** Takes the keys of a page, which are in key order. */
export type TakePage = (keys: readonly ListedKey[]) => void;

/** How pages are read. */
export interface Listing {
  readonly client: Client;
  /** Makes users' keys of the store's. */
  readonly names: KeyNames;
}

/**
 * Reads the range, and resolves with the header of the first page, which tells the revision of all. `begin` is called
 * with it, and gives what takes the pages; it is called again where reading begins again: what was taken is void then.
 *
 * @throws as {@link Client.attempt}
 */
export async function list(
  listing: Listing,
  range: StoreRange,
  signal: AbortSignal | undefined,
  begin: (header: ResponseHeader) => TakePage,
): Promise<ResponseHeader> {
  for (;;) {
    try {
      const header = await listAt(listing, range, signal, begin);
      if (header !== undefined) return header;
    } catch (error) {
      const kind = error instanceof TransportError ? classify(error).kind : undefined;
      if (kind !== "compacted" && kind !== "future-revision") throw error;
    }
  }
}

/** Reads the range once; undefined where the pages turn out to be of two histories. */
async function listAt(
  listing: Listing,
  { key, rangeEnd }: StoreRange,
  signal: AbortSignal | undefined,
  begin: (header: ResponseHeader) => TakePage,
): Promise<ResponseHeader | undefined> {
  const reader = new PageReader(listing, signal);
  let page = await reader.read({ key, rangeEnd, limit: firstPageKeys });
  const { header } = page;
  const take = begin(header);
  for (;;) {
    if (departs(page.header, header)) return undefined;
    const { keys, lastKey, more } = page;
    if (!more) {
      take(keys);
      return header;
    }
    const limit = reader.nextLimit(page);
    const next = reader.read({ key: after(lastKey), rangeEnd, limit, revision: header.revision });
    // What fails while the page is taken in is told below.
    next.catch(() => {});
    // Decoding was work enough for one turn.
    await macrotask();
    take(keys);
    page = await next;
  }
}

/** Reads pages, and learns from each how big the next may be. */
class PageReader {
  readonly #client: Client;
  readonly #signal: AbortSignal | undefined;
  /** How many keys the last page was asked to have at most. */
  #limit = 1;
  /**
   * No page may have more. Not derived from how long a page took: where the range is huge, going through it takes the
   * server seconds whatever the limit is, and smaller pages would only be more.
   */
  #most = mostPageKeys;
  /** How long the next page may take. */
  #patienceMs: number;
  /** How the next page is asked for. */
  #method: Method<RangeRequest, Page>;

  constructor({ client, names }: Listing, signal: AbortSignal | undefined) {
    this.#client = client;
    this.#signal = signal;
    this.#method = {
      ...rangeMethod,
      decode: (bytes) =>
        decodePage(bytes, (key, rawKey, packed, revision, createRevision) =>
          ConflatingLog.listed(names.toUser(key, rawKey), packed, revision, createRevision),
        ),
    };
    this.#patienceMs = client.requestTimeoutMs;
  }

  /** @throws as {@link Client.attempt} */
  async read(request: RangeRequest): Promise<Page> {
    const { requestTimeoutMs } = this.#client;
    for (let limit = request.limit ?? 0; ; limit = Math.max(1, limit >> 2)) {
      const begun = performance.now();
      const page = await this.#attempt({ ...request, limit });
      if (page !== undefined) {
        this.#limit = limit;
        if (performance.now() - begun < this.#patienceMs / 4) {
          this.#most = Math.min(2 * this.#most, mostPageKeys);
          this.#patienceMs = Math.max(this.#patienceMs / 2, requestTimeoutMs);
        }
        return page;
      }
      this.#most = Math.max(1, limit >> 2);
      this.#patienceMs = Math.min(2 * this.#patienceMs, Math.max(mostPatienceMs, requestTimeoutMs));
    }
  }

  /** Reads a page; undefined where it does not come in time, or is too big to be sent. */
  async #attempt(request: RangeRequest): Promise<Page | undefined> {
    const method = this.#method;
    // What is small, as most first pages are, needs no connection of its own.
    if (method.bulk !== true) this.#method = { ...method, bulk: true };
    const options = { signal: this.#signal, deadlineMs: this.#patienceMs, tell: isLate };
    try {
      return request.rangeEnd === undefined && method.bulk !== true
        ? await this.#client.read(method, request, options)
        : await this.#client.attempt(method, request, options);
    } catch (error) {
      if (!(error instanceof TransportError)) throw error;
      if (isLate(error)) {
        // Or is it the member that is late? A small read leaves it then, and waits for as long as nobody answers.
        await this.#client.attempt(rangeMethod, { key: request.key, keysOnly: true }, { signal: this.#signal });
      } else if (!isTooBig(error) || request.limit === 1) throw error;
      return undefined;
    }
  }

  /** How many keys like these make a page. Grows by eight at most, as the next keys may be bigger. */
  nextLimit({ keys, bytes }: Page): number {
    return Math.max(1, Math.min(this.#limit * 8, this.#most, Math.floor((pageBytes * keys.length) / bytes)));
  }
}

/** Whether an answer was too big for gRPC, which takes 2 GB at most. The server says so instead of sending it. */
function isTooBig({ details }: TransportError): boolean {
  return details.includes("larger than max");
}

/** The first key that can follow this one. */
function after(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}
