/**
 * Decoders written by hand for the two messages that carry data: the answer to a range read and the watch response.
 * The first is read in two ways: as a few keys with all that is known of them, and as a page of a great many.
 *
 * They give what the generated decoders give (a property test holds them equal), in a form that can be kept: keys as
 * text, values copied out of the response, which a view would pin as a whole. Unknown fields are skipped; a message
 * that is cut short or malformed throws a `RangeError`. Every other message is left to the generated code.
 *
 * A record of a 40-byte key and a 100-byte value, of a page of 1,000, takes 250 to 350 ns of CPU, where generated
 * code takes 1,300 to 2,000 with the text and the copies made of what it gives (bench/internals/decoders.ts; Node 20):
 *
 * - 64-bit numbers are put together from two halves, without a BigInt: 500 ns less.
 * - Small values share a copy, see `Reader.copy`: 230 ns and 250 bytes of memory less a value.
 * - Text is had from a Buffer, without `toString`: 150 ns less each than from a TextDecoder. Looking for ASCII first
 *   pays only below 12 bytes.
 */
import { isAscii, mostAsText, Octets, type Packed } from "../../range/packed.ts";
import type { ResponseHeader } from "./generated/etcd.ts";

/** A key with its value, as the store holds it. */
export interface KeyRecord {
  /** The key as text. Where it is not UTF-8, `U+FFFD` stands for what is not, and `rawKey` is the key. */
  key: string;
  /**
   * The bytes of a key that is not UTF-8; `undefined` for all others. So two records are of the same key if their
   * `rawKey` is the same bytes, or both have none and the same `key`: the text alone identifies no key that is not
   * UTF-8, not even against one that is and holds a `U+FFFD`.
   */
  rawKey: Uint8Array | undefined;
  /** Never part of the response it came in. Empty for a delete. */
  value: Uint8Array;
  createRevision: number;
  modRevision: number;
  /** How many times the key was written since it was created; 0 for a delete. */
  version: number;
  /** The lease's id in decimal; `"0"` for none. */
  lease: string;
}

/** One change of one key. A delete has a key and a `modRevision`, and zeros in the place of all else. */
export interface WatchEvent extends KeyRecord {
  type: "put" | "delete";
}

/** The answer to a range read. */
export interface RangeResult {
  header: ResponseHeader;
  kvs: KeyRecord[];
  /** Whether the range holds more keys than the request's limit. */
  more: boolean;
  /** The number of keys in the range, whatever the limit. */
  count: number;
}

/**
 * Makes of a key of a page what is kept of it. There may be millions, so there is nothing in between.
 *
 * `key` and `rawKey` are as in {@link KeyRecord}; `packed` is what `pack` makes of the value.
 */
export type MakeKey<out T> = (
  key: string,
  rawKey: Uint8Array | undefined,
  packed: Packed,
  revision: number,
  createRevision: number,
) => T;

/** The answer to a range read, as a page of a listing. */
export interface Page<out T> {
  header: ResponseHeader;
  keys: T[];
  /** The last of the keys, as bytes; empty where there is none. */
  lastKey: Uint8Array;
  /** Whether the range holds more keys than the request's limit. */
  more: boolean;
  /** How many bytes the answer has. */
  bytes: number;
}

/** One message of a watch stream. */
export interface WatchMessage {
  header: ResponseHeader;
  /** -1 in the answer to a create that failed, and in that to a progress request. */
  watchId: number;
  created: boolean;
  canceled: boolean;
  compactRevision: number;
  cancelReason: string;
  /** Whether the next message of the same watch goes on with the same revisions. */
  fragment: boolean;
  events: WatchEvent[];
}

/** Reads a `RangeResponse`. @throws `RangeError` where `bytes` is not one. */
export function decodeRange(bytes: Uint8Array): RangeResult {
  const reader = new Reader(bytes);
  const result: RangeResult = { header: noHeader(), kvs: [], more: false, count: 0 };
  const { end } = reader;
  while (reader.position < end) {
    const tag = reader.tag();
    if (tag === 18) {
      const record: KeyRecord = {
        key: "",
        rawKey: undefined,
        value: nothing,
        createRevision: 0,
        modRevision: 0,
        version: 0,
        lease: "0",
      };
      readKeyValue(reader, record);
      result.kvs.push(record);
    } else if (tag === 10) readHeader(reader, result.header);
    else if (tag === 24) result.more = reader.bool();
    else if (tag === 32) result.count = reader.signed();
    else reader.skip(tag);
  }
  reader.close(end);
  return result;
}

/**
 * Reads a `TxnResponse` of a transaction that makes range reads and nothing else: their responses are views of `bytes`,
 * and tell no more of the header than the revision. @throws `RangeError` where `bytes` is not one.
 */
export function splitReads(bytes: Uint8Array): { header: ResponseHeader; reads: Uint8Array[] } {
  const reader = new Reader(bytes);
  const header = noHeader();
  const reads: Uint8Array[] = [];
  const { end } = reader;
  while (reader.position < end) {
    const tag = reader.tag();
    if (tag === 26) {
      const operationEnd = reader.open();
      if (reader.tag() !== 10) throw malformed();
      const responseEnd = reader.open();
      reads.push(bytes.subarray(reader.position, responseEnd));
      reader.position = responseEnd;
      reader.close(operationEnd);
    } else if (tag === 10) readHeader(reader, header);
    else reader.skip(tag);
  }
  reader.close(end);
  return { header, reads };
}

/** Reads a `RangeResponse` as a page. @throws `RangeError` where `bytes` is not one. */
export function decodePage<T>(bytes: Uint8Array, make: MakeKey<T>): Page<T> {
  const reader = new Reader(bytes);
  const page: Page<T> = { header: noHeader(), keys: [], lastKey: nothing, more: false, bytes: bytes.length };
  const { end } = reader;
  let last = end;
  while (reader.position < end) {
    const tag = reader.tag();
    if (tag === 18) {
      last = reader.position;
      page.keys.push(readPageKey(reader, make));
    } else if (tag === 10) readHeader(reader, page.header);
    else if (tag === 24) page.more = reader.bool();
    else reader.skip(tag);
  }
  reader.close(end);
  if (last < end) page.lastKey = readKeyBytes(reader, last);
  return page;
}

/** The one object that stands for the key of the record that is being read. */
const name: Pick<KeyRecord, "key" | "rawKey"> = { key: "", rawKey: undefined };

function readPageKey<T>(reader: Reader, make: MakeKey<T>): T {
  name.key = "";
  name.rawKey = undefined;
  let packed: Packed = "";
  let revision = 0;
  let createRevision = 0;
  const end = reader.open();
  while (reader.position < end) {
    const tag = reader.tag();
    if (tag === 10) readKey(reader, name);
    else if (tag === 16) createRevision = reader.signed();
    else if (tag === 24) revision = reader.signed();
    else if (tag === 42) packed = reader.packed();
    else reader.skip(tag);
  }
  reader.close(end);
  return make(name.key, name.rawKey, packed, revision, createRevision);
}

/** The key of the record at `position`, as bytes. */
function readKeyBytes(reader: Reader, position: number): Uint8Array {
  reader.position = position;
  let key = nothing;
  const end = reader.open();
  while (reader.position < end) {
    const tag = reader.tag();
    if (tag === 10) key = reader.copy();
    else reader.skip(tag);
  }
  return key;
}

/** Reads a `WatchResponse`. @throws `RangeError` where `bytes` is not one. */
export function decodeWatch(bytes: Uint8Array): WatchMessage {
  const reader = new Reader(bytes);
  const message: WatchMessage = {
    header: noHeader(),
    watchId: 0,
    created: false,
    canceled: false,
    compactRevision: 0,
    cancelReason: "",
    fragment: false,
    events: [],
  };
  const { end } = reader;
  while (reader.position < end) {
    const tag = reader.tag();
    if (tag === 90) message.events.push(readEvent(reader));
    else if (tag === 10) readHeader(reader, message.header);
    else if (tag === 16) message.watchId = reader.signed();
    else if (tag === 24) message.created = reader.bool();
    else if (tag === 32) message.canceled = reader.bool();
    else if (tag === 40) message.compactRevision = reader.signed();
    else if (tag === 50) message.cancelReason = reader.text();
    else if (tag === 56) message.fragment = reader.bool();
    else reader.skip(tag);
  }
  reader.close(end);
  return message;
}

function noHeader(): ResponseHeader {
  return { clusterId: "0", memberId: "0", revision: 0, raftTerm: 0 };
}

function readHeader(reader: Reader, header: ResponseHeader): void {
  const end = reader.open();
  while (reader.position < end) {
    const tag = reader.tag();
    if (tag === 8) header.clusterId = reader.unsignedId();
    else if (tag === 16) header.memberId = reader.unsignedId();
    else if (tag === 24) header.revision = reader.signed();
    else if (tag === 32) header.raftTerm = reader.unsigned();
    else reader.skip(tag);
  }
  reader.close(end);
}

function readEvent(reader: Reader): WatchEvent {
  const event: WatchEvent = {
    type: "put",
    key: "",
    rawKey: undefined,
    value: nothing,
    createRevision: 0,
    modRevision: 0,
    version: 0,
    lease: "0",
  };
  const end = reader.open();
  while (reader.position < end) {
    const tag = reader.tag();
    if (tag === 18) readKeyValue(reader, event);
    else if (tag === 8) event.type = reader.eventType();
    else reader.skip(tag);
  }
  reader.close(end);
  return event;
}

function readKeyValue(reader: Reader, record: KeyRecord): void {
  const end = reader.open();
  while (reader.position < end) {
    const tag = reader.tag();
    if (tag === 10) readKey(reader, record);
    else if (tag === 16) record.createRevision = reader.signed();
    else if (tag === 24) record.modRevision = reader.signed();
    else if (tag === 32) record.version = reader.signed();
    else if (tag === 42) record.value = reader.copy();
    else if (tag === 48) record.lease = reader.signedId();
    else reader.skip(tag);
  }
  reader.close(end);
}

function readKey(reader: Reader, record: Pick<KeyRecord, "key" | "rawKey">): void {
  const start = reader.position;
  record.key = reader.text();
  // Only a key that is not UTF-8, or holds a U+FFFD of its own, gets beyond the first condition.
  record.rawKey = record.key.includes("\uFFFD") ? reader.unlessUtf8(start) : undefined;
}

/**
 * What a Buffer's `toString` calls once it has looked at its arguments, which takes as long again. Node, Bun and Deno all
 * have it, though not in their documentation.
 */
type Utf8Slice = Buffer & { utf8Slice(start: number, end: number): string };

const nothing: Uint8Array = new Uint8Array(0);
const strict: TextDecoder = new TextDecoder("utf-8", { fatal: true });

/** The size of a shared copy, and the largest value that has a part in one. */
const blockBytes = 1024;
const sharedBytes = 256;

/** Reads the elements of the wire format from left to right. */
class Reader {
  /** Where the next element begins. */
  position = 0;
  readonly end: number;
  readonly #bytes: Uint8Array;
  /** The same bytes: only a Buffer makes text without a view, and only of another does `slice` copy. */
  readonly #buffer: Utf8Slice;
  /** What `#varint` read last, in two halves of 32 bits. */
  #low = 0;
  #high = 0;
  /** A copy of the bytes from `#blockStart` to `#blockEnd`. */
  #block = nothing;
  #blockStart = 0;
  #blockEnd = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const buffer = bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#buffer = buffer as Utf8Slice;
    this.end = bytes.byteLength;
  }

  /** A field's number and wire type. */
  tag(): number {
    const byte = this.#bytes[this.position] as number;
    if (byte < 0x80) {
      this.position++;
      return byte;
    }
    this.#varint();
    return this.#low >>> 0;
  }

  /** Enters a message or a run of bytes, and tells where it ends. */
  open(): number {
    this.#varint();
    const end = this.position + (this.#low >>> 0);
    if (this.#high !== 0 || end > this.end) throw malformed();
    return end;
  }

  /** Leaves a message, whose fields must have filled it. */
  close(end: number): void {
    if (this.position !== end) throw malformed();
  }

  bool(): boolean {
    this.#varint();
    return (this.#low | this.#high) !== 0;
  }

  signed(): number {
    this.#varint();
    return this.#high === 0 ? this.#low >>> 0 : safe(this.#high * 0x1_0000_0000 + (this.#low >>> 0));
  }

  unsigned(): number {
    this.#varint();
    return safe((this.#high >>> 0) * 0x1_0000_0000 + (this.#low >>> 0));
  }

  signedId(): string {
    this.#varint();
    return this.#id(this.#high);
  }

  unsignedId(): string {
    this.#varint();
    return this.#id(this.#high >>> 0);
  }

  eventType(): WatchEvent["type"] {
    this.#varint();
    if (this.#low === 0) return "put";
    if (this.#low === 1) return "delete";
    throw new RangeError(`etcd sent an event of unknown type ${this.#low}`);
  }

  text(): string {
    const end = this.open();
    const text = this.#buffer.utf8Slice(this.position, end);
    this.position = end;
    return text;
  }

  /** A copy of the text that begins at `start` and was just read, unless it is UTF-8. */
  unlessUtf8(start: number): Uint8Array | undefined {
    this.position = start;
    const bytes = this.copy();
    try {
      strict.decode(bytes);
      return undefined;
    } catch {
      return bytes;
    }
  }

  /**
   * A copy of a run of bytes.
   *
   * An `ArrayBuffer` costs 300 bytes and 400 ns whatever it holds. So small values are views of a copy of the next
   * kilobyte of the message. One that is kept pins no more than that kilobyte; the last of a message, and so the
   * only one, has a copy of its own.
   */
  copy(): Uint8Array {
    const end = this.open();
    const start = this.position;
    this.position = end;
    if (start === end) return nothing;
    if (end - start > sharedBytes || this.end - end < sharedBytes) return this.#bytes.slice(start, end);
    if (end > this.#blockEnd) {
      this.#blockStart = start;
      this.#blockEnd = Math.min(start + blockBytes, this.end);
      this.#block = this.#bytes.slice(start, this.#blockEnd);
    }
    return this.#block.subarray(start - this.#blockStart, end - this.#blockStart);
  }

  /** A run of bytes as `pack` gives it. */
  packed(): Packed {
    const end = this.open();
    const start = this.position;
    this.position = end;
    if (end - start > mostAsText) return this.#bytes.slice(start, end);
    const text = this.#buffer.utf8Slice(start, end);
    return isAscii(text, end - start) ? text : new Octets(this.#buffer.toString("latin1", start, end));
  }

  skip(tag: number): void {
    const type = tag & 7;
    if (type === 0) this.#varint();
    else if (type === 1) this.position += 8;
    else if (type === 2) this.position = this.open();
    else if (type === 5) this.position += 4;
    else throw malformed();
    if (tag < 8) throw malformed();
  }

  #id(high: number): string {
    if (high === 0) return this.#low === 0 ? "0" : String(this.#low >>> 0);
    return String((BigInt(high) << 32n) | BigInt(this.#low >>> 0));
  }

  #varint(): void {
    let low = 0;
    let high = 0;
    let { position } = this;
    for (let shift = 0; shift < 70; shift += 7) {
      // Beyond the end of the message each byte reads as undefined, which ends the number as a small byte does; that
      // the message was left is found by `close`.
      const byte = this.#bytes[position++] as number;
      if (shift < 32) low |= (byte & 0x7f) << shift;
      if (shift === 28) high = (byte & 0x7f) >> 4;
      else if (shift > 28) high |= (byte & 0x7f) << (shift - 32);
      if (!(byte >= 0x80)) {
        this.position = position;
        this.#low = low;
        this.#high = high;
        return;
      }
    }
    throw malformed();
  }
}

function safe(value: number): number {
  if (!Number.isSafeInteger(value)) throw new RangeError("etcd sent a number beyond 2^53");
  return value;
}

function malformed(): RangeError {
  return new RangeError("etcd sent a message that is cut short or malformed");
}
