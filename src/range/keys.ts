/**
 * Keys: strings for users, bytes for the store.
 *
 * Users' keys are strings that UTF-8 can hold. What the store holds may be any bytes: a key that is not UTF-8 is a
 * *raw key* in the log, a string that no user's key equals, since it begins with half a surrogate pair.
 */
import { mustBe } from "../internal/arguments.ts";

const rawMark = "\ud800";
const encoder = new TextEncoder();
const lossy = new TextDecoder("utf-8", { ignoreBOM: true });

/** The log's key for bytes that are not UTF-8. */
export function rawKey(bytes: Uint8Array): string {
  let key = rawMark;
  for (const byte of bytes) key += String.fromCharCode(byte);
  return key;
}

export function isRawKey(key: string): boolean {
  return key.startsWith(rawMark);
}

/** A raw key as people may read it: what is not UTF-8 is replaced. */
export function rawKeyText(key: string): string {
  return lossy.decode(Uint8Array.from(key.slice(rawMark.length), (char) => char.charCodeAt(0)));
}

/** The key as the store's bytes. @throws `TypeError` naming `what` where it is not a string, or UTF-8 cannot hold it. */
export function encodeKey(key: string, what: string): Uint8Array {
  if (typeof key !== "string") throw mustBe(what, "a string", key);
  if (/\p{Surrogate}/u.test(key)) throw new TypeError(`${what} holds a lone surrogate, which UTF-8 cannot store`);
  return encoder.encode(key);
}

/** As {@link encodeKey}, for a key that must not be empty. */
export function encodeOneKey(key: string, what: string): Uint8Array {
  const bytes = encodeKey(key, what);
  if (bytes.length === 0) throw new RangeError(`${what} must not be empty`);
  return bytes;
}

/** Orders keys as the store does, by their bytes. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** The first key after all that begin with `prefix`; undefined if there is none. */
export function prefixEnd(prefix: Uint8Array): Uint8Array | undefined {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) return undefined;
  const end = prefix.slice(0, length);
  end[length - 1] = (end[length - 1] as number) + 1;
  return end;
}
