/**
 * Reading a range of any size: in pages, all of one revision.
 *
 * The first page is read linearizably and fixes the revision; the others are pinned to it. If that revision is
 * compacted meanwhile, or the store replaced by another, reading begins again. Pages are sized by bytes, since one
 * answer of 100,000 keys is two to four times faster than a hundred of 1,000, but both sides hold the whole of it in
 * memory.
 */
import type { Client } from "./client.ts";
import { classify } from "./errors.ts";
import { departs } from "./history.ts";
import type { ResponseHeader } from "./proto/generated/etcd.ts";
import type { KeyRecord } from "./proto/hot-decoders.ts";
import { range as rangeMethod } from "./proto/methods.ts";
import { TransportError } from "./transport.ts";

/** Few, as a value may have megabytes. */
const firstPageKeys = 64;
const pageBytes = 4 << 20;

/** A range of keys, in the store's terms. Without `rangeEnd`: one key. */
export interface StoreRange {
  readonly key: Uint8Array;
  readonly rangeEnd: Uint8Array | undefined;
}

/** What a range held at the revision in `header`. */
export interface Listing {
  readonly header: ResponseHeader;
  readonly records: readonly KeyRecord[];
}

/** How long a page may take. It is big where the keys are, and the server is not the slower for being asked twice. */
const pageDeadlineMs = 60_000;

/** Reads the range. @throws as {@link Client.attempt} */
export async function list(
  client: Client,
  { key, rangeEnd }: StoreRange,
  signal: AbortSignal | undefined,
): Promise<Listing> {
  for (;;) {
    try {
      const listing = await listAt(client, { key, rangeEnd }, signal);
      if (listing !== undefined) return listing;
    } catch (error) {
      const kind = error instanceof TransportError ? classify(error).kind : undefined;
      if (kind !== "compacted" && kind !== "future-revision") throw error;
    }
  }
}

/** Reads the range once; undefined where the pages turn out to be of two histories. */
async function listAt(
  client: Client,
  { key, rangeEnd }: StoreRange,
  signal: AbortSignal | undefined,
): Promise<Listing | undefined> {
  const options = { signal, deadlineMs: pageDeadlineMs };
  if (rangeEnd === undefined) {
    const { header, kvs } = await client.attempt(rangeMethod, { key }, { signal });
    return { header, records: kvs };
  }
  const first = await client.attempt(rangeMethod, { key, rangeEnd, limit: firstPageKeys }, options);
  const { header, kvs: records } = first;
  let page = first;
  let limit = firstPageKeys;
  while (page.more) {
    const last = page.kvs.at(-1) as KeyRecord;
    limit = nextLimit(page.kvs, limit);
    const request = { key: after(last), rangeEnd, limit, revision: header.revision };
    page = await client.attempt(rangeMethod, request, options);
    if (departs(page.header, header)) return undefined;
    for (const record of page.kvs) records.push(record);
  }
  return { header, records };
}

/** How many keys like these make a page. Grows by eight at most, as the next keys may be bigger. */
function nextLimit(kvs: readonly KeyRecord[], limit: number): number {
  let bytes = 0;
  for (const { key, value } of kvs) bytes += key.length + value.length + 32;
  return Math.max(1, Math.min(limit * 8, Math.floor((pageBytes * kvs.length) / bytes)));
}

const encoder = new TextEncoder();

/** The first key that can follow this one. */
function after({ key, rawKey }: KeyRecord): Uint8Array {
  const bytes = rawKey ?? encoder.encode(key);
  const next = new Uint8Array(bytes.length + 1);
  next.set(bytes);
  return next;
}
