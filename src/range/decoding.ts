/** From what the log holds to what consumers get: keys and decoded values, or why there is none. */
import { asciiDecoderOf, type Decode } from "../codec.ts";
import { errorOf, type EventValueError } from "../errors.ts";
import { checkValue } from "../internal/arguments.ts";
import type { InvalidUpdate, KeyUpdate, Versioned } from "../keyspace.ts";
import { isRawKey, keyText, quoted } from "./keys.ts";
import type { LogEntry, StoredKey } from "./conflating-log.ts";

/** What decoding an entry gave. It is kept on the entry, so all watchers of a range share one decoded value. */
export type Decoded<T> = { readonly value: T } | { readonly error: EventValueError };

/** What is kept of a value that the decoder rejected. */
class Rejected {
  readonly error: EventValueError;

  constructor(error: EventValueError) {
    this.error = error;
  }
}

/** What is kept of `undefined`, which as such means that nothing was decoded yet. */
const decodedUndefined = Symbol();

/** Decodes the entry, which must be live, unless somebody has before. */
export function decoded<T>(entry: LogEntry, decode: Decode<T>): Decoded<T> {
  if (entry.decoded === undefined) {
    const result = decodeStored(entry, decode);
    // The value itself is kept: something around it would take 32 bytes, which are 32 MB for a million keys.
    if ("error" in result) entry.decoded = new Rejected(result.error);
    else entry.decoded = result.value === undefined ? decodedUndefined : result.value;
  }
  const kept = entry.decoded;
  if (kept instanceof Rejected) return kept;
  return { value: (kept === decodedUndefined ? undefined : kept) as T };
}

/** Decodes what the store holds under a key of the log. */
export function decodeStored<T>(stored: StoredKey, decode: Decode<T>): Decoded<T> {
  const { key } = stored;
  if (isRawKey(key)) return { error: notDecoded(stored, "its key is not UTF-8") };
  try {
    const ofAscii = asciiDecoderOf(decode);
    const ascii = ofAscii && stored.ascii;
    const value = ascii === undefined ? decode(stored.bytes, key) : ofAscii!(ascii, key);
    checkValue(value);
    return { value };
  } catch (cause) {
    return { error: notDecoded(stored, textOf(cause), cause) };
  }
}

/** What the store holds under a key, as users get it. @throws `EV_DECODE` */
export function versionedOf<T>(stored: StoredKey, decode: Decode<T>): Versioned<T> {
  const result = decodeStored(stored, decode);
  if ("error" in result) throw result.error;
  return { value: result.value, revision: stored.revision, createRevision: stored.createRevision };
}

/** A change as `get()` delivers it. @throws `EV_DECODE` */
export function updateOf<T>(entry: LogEntry, decode: Decode<T>): KeyUpdate<T> {
  const change = changeOf(entry, decode);
  if (change.type === "invalid") throw change.error;
  return change;
}

/** A change as a batch holds it. */
export function changeOf<T>(entry: LogEntry, decode: Decode<T>): KeyUpdate<T> | InvalidUpdate {
  if (entry.live) return putOf(entry, decoded(entry, decode));
  const { key, revision } = entry;
  return { type: "delete", key: keyText(key), revision };
}

/** What the store holds under a key, as a batch holds it. */
export function putOf<T>(stored: StoredKey, result: Decoded<T>): KeyUpdate<T> | InvalidUpdate {
  const { key, revision, createRevision } = stored;
  if ("value" in result) return { type: "put", key, value: result.value, revision, createRevision };
  return {
    type: "invalid",
    key: keyText(key),
    // Only here: reading an entry's bytes unpacks them.
    bytes: new Uint8Array(stored.bytes),
    error: result.error,
    revision,
  };
}

/** What a decoder says that has thrown something, which may be anything. */
function textOf(cause: unknown): string {
  try {
    return cause instanceof Error ? cause.message : String(cause);
  } catch {
    return "it says no more";
  }
}

function notDecoded(stored: StoredKey, why: string, cause?: unknown): EventValueError {
  const { revision } = stored;
  const key = keyText(stored.key);
  const message = `the value of ${quoted(key)} at revision ${revision} cannot be decoded: ${why}`;
  return errorOf("EV_DECODE", message, { key, bytes: new Uint8Array(stored.bytes), revision, cause });
}
