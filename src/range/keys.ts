/**
 * Keys: strings for users, bytes for the store.
 *
 * Users' keys are strings that UTF-8 can hold. What the store holds may be any bytes: a key that is not UTF-8 is a
 * *raw key* in the log, a string that no user's key equals, since it begins with half a surrogate pair.
 */
import { mustBe } from "../internal/arguments.ts";
import type { RangeSelector } from "../keyspace.ts";

const rawMark = "\ud800";
/** How many characters of a key a message tells. */
const mostShown = 200;
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

/** A key of the log as people may read it: of a raw key, what is not UTF-8 is replaced. */
export function keyText(key: string): string {
  if (!isRawKey(key)) return key;
  return lossy.decode(Uint8Array.from(key.slice(rawMark.length), (char) => char.charCodeAt(0)));
}

/** Refuses what is no text that UTF-8 can hold. @throws `TypeError` naming `what` */
export function checkText(text: unknown, what: string): void {
  if (typeof text !== "string") throw mustBe(what, "a string", text);
  if (/\p{Surrogate}/u.test(text)) throw new TypeError(`${what} holds a lone surrogate, which UTF-8 cannot store`);
}

/** As {@link checkText}, for a key, which must not be empty. @throws `RangeError` naming `what` */
export function checkKey(key: unknown, what: string): void {
  checkText(key, what);
  if (key === "") throw new RangeError(`${what} must not be empty`);
}

/** A range as it was given, checked. @throws `TypeError`, `RangeError` */
export function checkRange(range: RangeSelector): RangeSelector {
  if (typeof range === "string") {
    checkText(range, "range");
    return range;
  }
  if (typeof range !== "object" || range === null) throw mustBe("range", "a prefix or { start, end }", range);
  const { start, end } = range;
  checkText(start, "range.start");
  checkText(end, "range.end");
  // The first key there can be is a zero byte.
  if (compareKeys(start === "" ? "\0" : start, end) >= 0)
    throw new RangeError("range.end must come after range.start, in the order of their bytes");
  return { start, end };
}

/** Whether the key is one of the range's. */
export function liesIn(range: RangeSelector, key: string): boolean {
  if (typeof range === "string") return key.startsWith(range);
  return compareKeys(range.start, key) <= 0 && compareKeys(key, range.end) < 0;
}

/** A key as messages tell it: of one that is very long, the beginning. */
export function quoted(key: string): string {
  return JSON.stringify(key.length > mostShown ? `${key.slice(0, mostShown)}…` : key);
}

/** The text in UTF-8. */
export function encodeText(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Orders keys as stores do, by their bytes in UTF-8. */
export function compareKeys(a: string, b: string): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (x !== y) return byteOrder(x) - byteOrder(y);
  }
  return a.length - b.length;
}

/** Surrogates stand for what comes after all that one code unit can hold. */
function byteOrder(codeUnit: number): number {
  return codeUnit >= 0xd800 && codeUnit <= 0xdfff ? codeUnit + 0x10000 : codeUnit;
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
