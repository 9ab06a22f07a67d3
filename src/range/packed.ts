/**
 * Bytes as they are kept by the million: small ones as text, in which each character stands for one byte.
 *
 * A `Uint8Array` of 100 bytes takes 440 bytes with its `ArrayBuffer`, and 280 as a view of one that it shares; a string
 * of 100 characters takes 120. It also pins nothing but itself. Big values stay as they are: what an array takes on
 * top of its bytes is little beside them.
 *
 * Most of what is small is ASCII. It is told from the rest by its type, so that nobody has to look again: to test each
 * value when it is decoded took 170 ns.
 */

/** Packed bytes: at most {@link mostAsText} of them as text, if they are ASCII, or as {@link Octets}; or themselves. */
export type Packed = string | Octets | Uint8Array;

/** Small bytes that are not ASCII. */
export class Octets {
  /** A character below 256 for each byte. */
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** The most bytes that are kept as text. Beyond that little is saved, and a call can be given no end of arguments. */
export const mostAsText = 1024;

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** Packs bytes. Small ones are copied; big ones are kept, and must not be changed any more. */
export function pack(bytes: Uint8Array): Packed {
  if (bytes.length > mostAsText) return bytes;
  // Decoding is four times faster than what is right for all bytes.
  const text = utf8.decode(bytes);
  return isAscii(text, bytes.length) ? text : new Octets(String.fromCharCode.apply(null, bytes as unknown as number[]));
}

/** Whether so many bytes, of which `text` was decoded as UTF-8, are ASCII and nothing else. */
export function isAscii(text: string, bytes: number): boolean {
  // Of nothing else is the text as long as the bytes, but where U+FFFD stands for what is not UTF-8.
  return text.length === bytes && !text.includes("\uFFFD");
}

/** The packed bytes as text, where they are text and ASCII. */
export function asciiOf(packed: Packed | undefined): string | undefined {
  return typeof packed === "string" ? packed : undefined;
}

/** A character for each byte, or the bytes. */
function plain(packed: Packed): string | Uint8Array {
  return packed instanceof Octets ? packed.text : packed;
}

/** Whether `packed` holds just these bytes. Without Node's Buffer, since backends of any runtime use this. */
export function holds(packed: Packed, bytes: Uint8Array): boolean {
  const kept = plain(packed);
  const { length } = bytes;
  if (kept.length !== length) return false;
  if (typeof kept === "string") {
    for (let i = 0; i < length; i++) if (kept.charCodeAt(i) !== bytes[i]) return false;
  } else {
    for (let i = 0; i < length; i++) if (kept[i] !== bytes[i]) return false;
  }
  return true;
}

/** Whether two hold the same bytes. */
export function samePacked(one: Packed, other: Packed): boolean {
  const [a, b] = [plain(one), plain(other)];
  return typeof a === "string" || typeof b === "string" ? a === b : holds(a, b);
}

/** What the next small values are unpacked into: an `ArrayBuffer` for each would take most of the time. */
const blockBytes = 4096;
let block = new Uint8Array(0);
let used = 0;

/** The bytes that were packed. They belong to whoever asked, who may keep but not change them. */
export function unpack(packed: Packed): Uint8Array {
  const kept = plain(packed);
  if (typeof kept !== "string") return kept;
  const { length } = kept;
  if (used + length > block.length) {
    block = new Uint8Array(blockBytes);
    used = 0;
  }
  const bytes = block.subarray(used, (used += length));
  for (let i = 0; i < length; i++) bytes[i] = kept.charCodeAt(i);
  return bytes;
}
